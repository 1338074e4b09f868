"""The Kubernetes executor: an attempt is a Job with one pod, and lives on whatever becomes of the service."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from api.cancellation import cancel
from api.core.observation import Cause, Observation, Obstacle, Phase, Program
from api.executors.base import AttemptSpec, Executor, ExecutorUnavailable, StartError
from api.executors.kubernetes.attempts import Attempts
from api.executors.kubernetes.client import HTTPS_PORT, ApiError, Cluster
from api.executors.kubernetes.deletion import Deleter
from api.executors.kubernetes.faults import (
    CONFLICT,
    StartForbidden,
    start_fault,
)
from api.executors.kubernetes.follow import Follower
from api.executors.kubernetes.job import (
    ANNOTATION_TOKEN,
    LABEL_INSTANCE,
    build_job,
    check_is_json,
    job_name,
    selector,
    token_hash,
)
from api.executors.kubernetes.observe import observe
from api.executors.kubernetes.owner import OwnerConfigMap
from api.executors.kubernetes.pod_log import PodLogs
from api.executors.kubernetes.rehearsal import rehearse
from api.executors.kubernetes.seen import attempt_of
from api.executors.kubernetes.token import with_sealed_token

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from api.core.log_tail import LogTail
    from api.core.observation import AttemptId, StopReason
    from api.core.task_types import TaskTypeDefinition
    from api.executors.kubernetes.pods import PodSettings
    from api.executors.kubernetes.seen import Object, Seen
    from api.executors.kubernetes.template import JobSettings

logger = logging.getLogger(__name__)

SERVICE_NAME: Final = "kubernetes.default.svc"
TROUBLE_SECONDS: Final = 60.0
"""How long a refusal speaks for all starts: somebody must be let in to find out that it is over."""


class KubernetesExecutor(Executor):
    """Runs attempts as Jobs in one namespace. `pods_of` gives the settings of a task type's pods."""

    ends_with_service = False
    attempt_kind = "jobs"
    stop_deletes_log = True

    def __init__(
        self,
        cluster: Cluster,
        settings: JobSettings,
        pods_of: Callable[[TaskTypeDefinition | None], PodSettings],
        *,
        owner_config_map: str | None = None,
        sealing_keys: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """`sealing_keys` are the signing keys that pods have mounted: the first seals the tokens of attempts."""
        self._cluster = cluster
        self._settings = settings
        self._pods_of = pods_of
        self._deleter = Deleter(cluster, settings.grace_seconds)
        self._hastening: set[asyncio.Task[None]] = set()
        self._owner = OwnerConfigMap(cluster, owner_config_map)
        self._sealing_keys = sealing_keys
        self._attempts = Attempts()
        self._selector = selector(settings.instance)
        self._logs = PodLogs(cluster, self._selector)
        self._follower = Follower(cluster, self._selector, self._attempts, self._changed, self._answers)
        self._unread: dict[AttemptId, None] = {}
        self._news = asyncio.Event()
        self._closed = False
        self._trouble: tuple[float, str] | None = None
        self._answering_since: float | None = None

    @property
    def trouble(self) -> str | None:  # type: ignore[override]
        """Why no attempt at all can be started now, if so."""
        if self._trouble is None or time.monotonic() - self._trouble[0] > TROUBLE_SECONDS:
            return None
        return self._trouble[1]

    @property
    def own_addresses(self) -> Sequence[tuple[str, int]]:  # type: ignore[override]
        """The API server, under the name that every cluster has for it too."""
        address = self._cluster.address
        return (*(() if address is None else (address,)), (SERVICE_NAME, HTTPS_PORT))

    async def open(self) -> None:
        """Find out how the cluster is reached. It need not answer yet."""
        await self._cluster.open()

    async def check(self) -> str:
        """Ask the API server whether it would take a Job like those of attempts, as a dry run."""
        return await rehearse(self._cluster, self._job_of)

    async def close(self) -> None:
        """End `watch`, and close the connections."""
        self._closed = True
        self._news.set()
        await self._cluster.close()

    async def start(self, spec: AttemptSpec) -> None:
        """Create the attempt's Job; one that is there already is ours if it has the attempt's labels and token."""
        if self._attempts.get(spec.attempt_id) is not None:
            return
        try:
            raw = await self._create(spec, await self._job_of(spec))
        except ApiError as error:
            fault = start_fault(error)
            if isinstance(fault, StartForbidden):
                self._trouble = (time.monotonic(), str(fault))
            raise fault from None
        self._trouble = None
        self._attempts.take("jobs", "ADDED", raw)

    async def stop(self, attempt_id: AttemptId, reason: StopReason) -> None:
        """Delete the attempt's Job, and with it the pod, which has its grace period."""
        seen = self._attempts.get(attempt_id)
        if seen is None or seen.stop_asked is not None or self._look(seen).phase is not Phase.ALIVE:
            return
        seen.stop_asked = reason  # before the call: the change may be seen before its answer
        try:
            await self._deleter.delete(seen)
            await self._deleter.hasten(seen)
        except BaseException:  # a cancellation too: what was not sent for sure is sent again
            seen.stop_asked = None
            raise

    async def forget(self, attempt_id: AttemptId) -> None:
        """Delete what is left of an attempt that is over."""
        seen = self._attempts.get(attempt_id)
        if seen is None or seen.forgetting or self._look(seen).phase is Phase.ALIVE:
            return
        seen.forgetting = True  # its end is seen more than once, and one delete is enough
        try:
            await self._deleter.delete(seen)
        finally:
            seen.forgetting = False
        self._attempts.forget(attempt_id)
        self._unread.pop(attempt_id, None)

    async def read_log(self, attempt_id: AttemptId) -> LogTail:
        """Return the end of what an attempt's container has written, by way of the API server and the node."""
        return await self._logs.read(attempt_id, self._attempts.get(attempt_id))

    async def refresh(self) -> None:
        """List all Jobs and pods from etcd, past the cache of the API server, which may lag."""
        forgotten = self._attempts.forgotten()
        try:
            # Jobs first: then the pod of every Job that is over is in the list of pods, if it still exists.
            for kind in ("jobs", "pods"):
                listed = await self._cluster.list(kind, labelSelector=self._selector)
                self._changed(self._attempts.take_list(kind, listed, forgotten))
        except ApiError as error:
            self._answers(answering=False)
            raise ExecutorUnavailable(error.message) from None
        self._answers(answering=True)

    async def list(self) -> Sequence[Observation]:
        """Return an observation of each attempt that is not forgotten: what was asked for, and all changes since."""
        await self._look_for_owner()
        return tuple(self._look(seen) for seen in self._attempts)

    async def watch(self) -> AsyncGenerator[Observation, None]:
        """Follow what happens in the cluster, and yield an observation of each attempt that is over. For one reader.

        Who does not read it, a service that does not lead, costs the API server nothing.
        """
        self._follower.begin()
        try:
            while not self._closed:
                while self._unread:
                    attempt_id = next(iter(self._unread))
                    del self._unread[attempt_id]
                    seen = self._attempts.get(attempt_id)
                    if seen is not None:
                        self._hasten_suspended(seen)
                        await self._look_for_owner()
                        yield self._look(seen)
                self._news.clear()
                if not self._closed:
                    await self._news.wait()
        finally:
            await self._follower.end()
            await cancel(*self._hastening)

    def _hasten_suspended(self, seen: Seen) -> None:
        """Do so in the background: the ends of other attempts do not wait for an answer of the API server."""
        hastening = asyncio.create_task(self._deleter.hasten_suspended(seen))
        self._hastening.add(hastening)
        hastening.add_done_callback(self._hastening.discard)

    async def _job_of(self, spec: AttemptSpec) -> Object:
        sealed = with_sealed_token(spec, self._sealing_keys)
        job = build_job(sealed, await self._settings_now(), self._pods_of(spec.definition))
        check_is_json(job)
        return job

    async def _settings_now(self) -> JobSettings:
        owner = await self._owner.get()
        return self._settings if owner is None else replace(self._settings, owner=owner)

    async def _create(self, spec: AttemptSpec, job: Object) -> Object:
        try:
            return await self._cluster.create("jobs", job)
        except ApiError as error:
            if error.status != CONFLICT or error.reason != "AlreadyExists":
                raise
        raw = await self._cluster.get("jobs", job_name(spec))
        metadata = raw["metadata"]
        if not self._is_of(spec, raw) or metadata.get("deletionTimestamp"):
            raise ApiError(CONFLICT, "AlreadyExists", f"There is a Job {metadata['name']} already, and it is not ours")
        if (metadata.get("annotations") or {}).get(ANNOTATION_TOKEN) != token_hash(spec):
            await self._cluster.delete("jobs", metadata["name"], metadata["uid"])
            raise StartError(
                f"There was a Job {metadata['name']} of another attempt with the same number", may_exist=True
            )
        logger.info("attempt_adopted", extra={"attempt": str(spec.attempt_id)})
        return raw

    def _is_of(self, spec: AttemptSpec, raw: Object) -> bool:
        labels = raw["metadata"].get("labels") or {}
        return attempt_of(raw) == spec.attempt_id and labels.get(LABEL_INSTANCE) == self._settings.instance

    def _answers(self, *, answering: bool) -> None:
        """Note whether the API server answers: while it does not, nodes cannot report their pods."""
        self._answering_since = (self._answering_since or time.monotonic()) if answering else None

    def _changed(self, attempt_ids: set[AttemptId]) -> None:
        """Tell of what is worth it; a Job without a pod is told of by `list` alone, which has seen both."""
        for attempt_id in attempt_ids:
            seen = self._attempts.get(attempt_id)
            if seen is not None and seen.pod is not None and self._is_news(seen):
                self._unread[attempt_id] = None
                self._news.set()

    def _is_news(self, seen: Seen) -> bool:
        """Return whether the attempt ended, or its program or suspension changed since the last call."""
        observation = self._look(seen)
        suspended = observation.waiting is not None and observation.waiting.code == Obstacle.SUSPENDED
        before, seen.told = seen.told, (observation.program, observation.cause if suspended else None, suspended)
        worth_it = suspended or observation.program not in {None, Program.WAITING}
        return observation.phase is not Phase.ALIVE or (worth_it and seen.told != before)

    async def _look_for_owner(self) -> None:
        """Find out, with one call for all, whether deleted Jobs were deleted together with their owner."""
        asking = [seen for seen in self._attempts if _was_deleted_by_somebody(seen, self._read(seen))]
        if not asking:
            return
        gone = await self._owner.is_gone()
        for seen in asking:
            seen.owner_gone = gone

    def _look(self, seen: Seen) -> Observation:
        """Observe an attempt. A deleted Job is left out until it is clear whether its owner was deleted."""
        observation = self._read(seen)
        if _was_deleted_by_somebody(seen, observation) and self._owner.is_known:
            return replace(observation, phase=Phase.ALIVE, cause=None)
        return observation

    def _read(self, seen: Seen) -> Observation:
        """Observe an attempt. One that cannot be read counts as alive while any of its objects exists."""
        try:
            now_seconds = time.monotonic()
            for kept in seen.objects():
                kept.stamp(now_seconds)
            return observe(seen, now_seconds, self._answering_since)
        except Exception:
            if not seen.unreadable:
                logger.exception("attempt_not_read", extra={"attempt": str(seen.attempt_id)})
            seen.unreadable = True
            return Observation(seen.attempt_id, Phase.ALIVE if seen.is_left else Phase.GONE, stop_asked=seen.stop_asked)


def _was_deleted_by_somebody(seen: Seen, observation: Observation) -> bool:
    """Return whether a Job was deleted, not by us, and its owner has not been checked yet."""
    return observation.cause is Cause.JOB_DELETED and seen.owner_gone is None and seen.stop_asked is None
