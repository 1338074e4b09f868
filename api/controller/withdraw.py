"""Fails the tasks that wait for a type which is there no more."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from api.core.task import Reason
from api.queue.conclude import conclude
from runner.contract import ErrorCode, State

if TYPE_CHECKING:
    from api.core.task_types import Definitions
    from api.queue.queue import Queue

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 5.0
UNKNOWN_SECONDS: Final = 120.0
"""How long a type that this service has never known is waited for: another may have read a newer file already."""
STEP: Final = 100


class Withdrawer:
    """Looks which types have been removed, and ends what waits for them."""

    def __init__(self, queue: Queue, types: Definitions) -> None:
        self._queue = queue
        self._types = types
        self._known: set[str] = set()
        self._unknown_since: dict[str, float] = {}

    async def withdraw(self) -> None:
        """Look time and again, for ever."""
        while True:
            await self.look(asyncio.get_running_loop().time())
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, now_seconds: float) -> None:
        """Fail the tasks of removed types. `now_seconds` is of a clock that only goes on."""
        there = self._types().keys()
        self._known |= there
        waiting = {
            name
            for (name, state), number in (await self._queue.counts()).tasks.items()
            if state is State.QUEUED and number
        }
        missing = waiting - there
        self._unknown_since = {name: self._unknown_since.get(name, now_seconds) for name in missing}
        for name in missing:
            if name in self._known or now_seconds - self._unknown_since[name] >= UNKNOWN_SECONDS:
                await self._fail_all(name)

    async def _fail_all(self, task_type: str) -> None:
        ended = 0
        while number := await self._fail_some(task_type):
            ended += number
        logger.warning("task_type_removed", extra={"task_type": task_type, "tasks": ended})

    async def _fail_some(self, task_type: str) -> int:
        """Return how many were ended: what moved on meanwhile is none of them."""
        reason = Reason(ErrorCode.TYPE_REMOVED, f"The task type {task_type} is there no more")
        page = await self._queue.list(cursor=None, limit=STEP, states=(State.QUEUED,), task_type=task_type)
        found = [await self._queue.read(summary.task_id) for summary in page.tasks]
        waiting = [read[0] for read in found if read is not None and read[0].state is State.QUEUED]
        return sum([await conclude(self._queue, task, State.FAILED, reason) for task in waiting])
