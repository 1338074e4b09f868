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
"""What a delete is answered when the object that was meant is no more."""


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
        """Leave a program no more time to end than the settings say: what its pod has is for the runner beside it."""
        if seen.is_container:
            for pod in [pod for pod in seen.pods.values() if not pod.deleted]:
                await self._delete_one("pods", pod, grace_seconds=whole_seconds(self._grace_seconds))

    async def hasten_suspended(self, seen: Seen) -> None:
        """Leave the program of a suspended Job no more time either: its quota is for others at once."""
        if seen.hastened or not has_program_to_end(seen):
            return
        seen.hastened = True
        try:
            await self.hasten(seen)
        except ExecutorUnavailable as fault:  # its pod then takes its whole grace
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
