"""Fails the tasks of types that no longer exist, and forgets such a type when none of its tasks is kept.

A type whose definition is only wrong still exists.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from api.controller.isolate import Isolation
from api.core.task import Reason
from api.core.task_types import why_unusable
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
    """Finds task types that were removed, fails their waiting tasks and forgets them at last.

    A task that cannot be failed stops no other.
    """

    def __init__(self, queue: Queue, types: Definitions) -> None:
        self._queue = queue
        self._types = types
        self._known: set[str] = set()
        self._unknown_since: dict[str, float] = {}
        self._isolation = Isolation("withdraw")

    async def withdraw(self) -> None:
        """Look time and again, for ever."""
        while True:
            await self.look(asyncio.get_running_loop().time())
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, now_seconds: float) -> None:
        """Fail the tasks of removed types; forget empty ones. `now_seconds` is of a clock that only goes on."""
        types = self._types()
        self._known |= types.keys()
        tasks = (await self._queue.counts()).tasks
        removed = {name for name, _ in tasks if name not in types and why_unusable(types, name) is None}
        kept = {name for (name, _), number in tasks.items() if number}
        missing = {name for name in removed if tasks.get((name, State.QUEUED))}
        self._unknown_since = {name: self._unknown_since.get(name, now_seconds) for name in missing}
        for name in missing:
            if name in self._known or now_seconds - self._unknown_since[name] >= UNKNOWN_SECONDS:
                await self._isolation.work(name, partial(self._fail_all, name), None)
        for name in removed - kept:
            await self._isolation.work(name, partial(self._queue.counters.forget_type, name), None)

    async def _fail_all(self, task_type: str) -> None:
        """Fail all waiting tasks, page by page; tasks that cannot be failed are left for the next pass."""
        ended, cursor = 0, None
        while True:
            page = await self._queue.list(cursor=cursor, limit=STEP, states=(State.QUEUED,), task_type=task_type)
            for summary in page.tasks:
                ended += await self._isolation.work(summary.task_id, partial(self._fail, summary.task_id, task_type), 0)
            cursor = page.next_cursor
            if cursor is None:
                break
        if ended:
            logger.warning("task_type_removed", extra={"task_type": task_type, "tasks": ended})

    async def _fail(self, task_id: str, task_type: str) -> int:
        """Return how many were ended: what moved on meanwhile is none of them."""
        found = await self._queue.read(task_id)
        if found is None or found[0].state is not State.QUEUED:
            return 0
        reason = Reason(ErrorCode.TYPE_REMOVED, f"Task type {task_type} no longer exists")
        return int(await conclude(self._queue, found[0], State.FAILED, reason))
