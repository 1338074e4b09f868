"""Stores the log of an attempt that is over or about to be stopped, before its pod or directory is deleted."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from api.core.log_tail import last_words
from api.queue.errors import NotLeading, QueueUnavailable

if TYPE_CHECKING:
    from api.core.observation import AttemptId, Observation
    from api.core.task import Task
    from api.executors.base import Executor
    from api.queue.queue import Queue

logger = logging.getLogger(__name__)

READ_AT_STOP: Final = "Read when the attempt was stopped: what it wrote while it ended is missing"


class LogKeeper:
    """Copies logs from the executor to Redis, where the logs of all tasks have `max_bytes`; with 0 it keeps none.

    Its methods raise `QueueUnavailable` and `NotLeading`, so that a log is kept later. Other faults cost the log only.
    """

    def __init__(self, queue: Queue, executor: Executor, max_bytes: int) -> None:
        self._queue = queue
        self._executor = executor
        self._max_bytes = max_bytes

    async def keep(self, observation: Observation, task: Task | None) -> None:
        """Keep the log of an attempt that is over, unless its runner has handed it over or it is kept already.

        One that cannot be read replaces nothing that is kept already.
        """
        if not self._max_bytes:
            return
        if task is not None and task.logged == observation.attempt_id.attempt:
            await self._queue.logs.make_room(observation.attempt_id, self._max_bytes)
        else:
            await self._keep(observation.attempt_id, observation.log_tail)

    async def keep_before_stop(self, attempt_id: AttemptId) -> None:
        """Keep what an attempt has written until now, if stopping it deletes its log."""
        if self._max_bytes and self._executor.stop_deletes_log:
            await self._keep(attempt_id, "", READ_AT_STOP)

    async def _keep(self, attempt_id: AttemptId, words: str, note: str = "") -> None:
        try:
            read = await self._executor.read_log(attempt_id)
            log = last_words(read, words) if not note else replace(read, note=note if read.data else "")
            whole = not note and not read.note
            if log.data or log.note or whole:
                replaces = bool(read.data)
                await self._queue.logs.keep(attempt_id, log, self._max_bytes, replace=replaces, whole=whole)
        except (QueueUnavailable, NotLeading):
            raise
        except Exception:
            logger.exception("log_not_kept", extra={"attempt": str(attempt_id)})
