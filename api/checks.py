"""Checks of all that a task needs before it can start: what `GET /api/checks` answers.

Who may submit tasks may see this: as in a task's `waiting_reason`, it may name the cluster's objects, but not where
Redis is.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from api.core.check import Check
from api.executors.base import StartError
from api.queue.errors import QueueUnavailable
from api.readiness import fault_of_redis
from api.text import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.executors.base import Executor
    from api.queue.queue import Queue

KEPT_SECONDS: Final = 1.0
"""How long an answer is given again: everyone may ask, and each round costs a call of the API server."""
SHOWN_CHARACTERS: Final = 1000


class Checks:
    """Makes one round of checks at a time. Calls during a round, or soon after it, return its result."""

    def __init__(self, queue: Queue, executor: Executor, checked: asyncio.Event, owner: str) -> None:
        self._queue = queue
        self._executor = executor
        self._checked = checked
        self._owner = owner
        self._round: asyncio.Task[Sequence[Check]] | None = None
        self._ended_at = 0.0

    async def look(self) -> Sequence[Check]:
        """Return what was found, in the order in which a task needs it."""
        old = self._round is not None and self._round.done() and time.monotonic() - self._ended_at > KEPT_SECONDS
        if self._round is None or old or self._round.cancelled():
            self._round = asyncio.create_task(self._look())
        return await asyncio.shield(self._round)

    async def _look(self) -> Sequence[Check]:
        found = (await self._redis(), await self._leader(), await self._starts())
        self._ended_at = time.monotonic()
        return found

    async def _redis(self) -> Check:
        reason, _ = await fault_of_redis(self._queue, self._checked)
        if reason is None:
            return Check("redis", ok=True, message="Redis takes writes and runs our scripts")
        return Check("redis", ok=False, message=f"{reason}; the log of the service has the details")

    async def _leader(self) -> Check:
        try:
            owner = await self._queue.leader()
        except Exception as fault:  # noqa: BLE001 - what Redis refuses is an answer here, never a 500
            known = isinstance(fault, QueueUnavailable)
            reason = "Redis does not say which service leads" if known else "Redis refuses to say which service leads"
            return Check("leader", ok=False, message=reason)
        if owner is None:
            return Check("leader", ok=False, message="no service leads: the next one takes over within seconds")
        who = "this service leads" if owner == self._owner else "another service leads"
        return Check("leader", ok=True, message=f"{who} ({owner})")

    async def _starts(self) -> Check:
        name = self._executor.attempt_kind
        try:
            message = await self._executor.check()
        except StartError as fault:
            return Check(name, ok=False, message=visible(str(fault))[:SHOWN_CHARACTERS])
        return Check(name, ok=True, message=message)
