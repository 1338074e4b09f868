"""Checks whether Jobs can be created, by a dry run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.core.observation import AttemptId
from api.executors.base import AttemptSpec
from api.executors.kubernetes.client import ApiError
from api.executors.kubernetes.faults import start_fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from api.executors.kubernetes.client import Cluster
    from api.executors.kubernetes.seen import Object

CHECKED: Final = AttemptSpec(AttemptId("check", 1), "check", {})


async def rehearse(cluster: Cluster, job_of: Callable[[AttemptSpec], Awaitable[Object]]) -> str:
    """Ask the API server whether it would take a Job like those of attempts: rights, quotas and policies are checked.

    Raises:
        StartError: if it would not; the message is the API server's.
    """
    try:
        raw = await cluster.create("jobs", await job_of(CHECKED), dry_run=True)
    except ApiError as error:
        raise start_fault(error) from None
    return f"the API server accepts a Job in the namespace {raw['metadata'].get('namespace', '')}"
