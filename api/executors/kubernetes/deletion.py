"""Ends what is left of an attempt in the cluster: its Job with the pod, or a pod that has no Job any more."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from api.executors.base import ExecutorUnavailable
from api.executors.kubernetes.client import ApiError
from api.executors.kubernetes.faults import CONFLICT, NOT_FOUND
from api.executors.kubernetes.observe import has_program_to_end
from api.executors.kubernetes.template import whole_seconds

if TYPE_CHECKING:
    from api.executors.kubernetes.client import Cluster
    from api.executors.kubernetes.seen import Kept, Seen

logger = logging.getLogger(__name__)

GONE_STATUSES: Final = frozenset({NOT_FOUND, CONFLICT})
"""Status codes of a delete whose object no longer exists."""


class Deleter:
    """Deletes objects of attempts. Every method raises `ExecutorUnavailable` if the API server does not do it."""

    def __init__(self, cluster: Cluster, grace_seconds: float) -> None:
        self._cluster = cluster
        self._grace_seconds = grace_seconds

    async def delete(self, seen: Seen) -> None:
        """Delete a Job; its pod goes with it, but one that has no Job any more is deleted itself."""
        kept: list[tuple[str, Kept]] = [("jobs", seen.job)] if seen.job is not None and not seen.job.deleted else []
        if not kept:
            kept = [("pods", pod) for pod in seen.pods.values() if not pod.deleted]
        for kind, one in kept:
            if not one.raw["metadata"].get("deletionTimestamp"):
                await self._delete_one(kind, one)

    async def hasten(self, seen: Seen) -> None:
        """Shorten a program's grace period to `grace_seconds`: the longer one of its pod is for the runner."""
        if seen.is_container:
            for pod in [pod for pod in seen.pods.values() if not pod.deleted]:
                await self._delete_one("pods", pod, grace_seconds=whole_seconds(self._grace_seconds))

    async def hasten_suspended(self, seen: Seen) -> None:
        """Shorten the grace period of a suspended program too: others may use its quota at once."""
        if seen.hastened or not has_program_to_end(seen):
            return
        seen.hastened = True
        try:
            await self.hasten(seen)
        except ExecutorUnavailable as fault:  # the pod then keeps its own grace period
            logger.warning("pod_not_hastened", extra={"attempt": str(seen.attempt_id), "reason": str(fault)})
        except BaseException:  # cut off: it is sent again
            seen.hastened = False
            raise

    async def _delete_one(self, kind: str, kept: Kept, *, grace_seconds: int | None = None) -> None:
        metadata = kept.raw["metadata"]
        try:
            await self._cluster.delete(kind, metadata["name"], metadata["uid"], grace_seconds=grace_seconds)
        except ApiError as error:
            if error.status not in GONE_STATUSES:
                raise ExecutorUnavailable(error.message) from None
