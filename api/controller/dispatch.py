"""Gives free slots to waiting tasks and starts their attempts."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from api.controller.supervise import wait_at_most
from api.core.task import Reason
from api.executors.base import AttemptSpec, StartError
from runner.contract import Env, ErrorCode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.core.observation import AttemptId
    from api.executors.base import Executor
    from api.queue.queue import Queue
    from api.queue.shapes import Claim

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 5.0
"""A safety net: an announcement can be missed."""
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0


class Dispatcher:
    """Claims and starts. `starting` holds the attempts whose start is under way: no executor can tell of them yet."""

    def __init__(
        self,
        queue: Queue,
        executor: Executor,
        *,
        concurrency: int,
        type_limits: Mapping[str, int | None],
        environment: Mapping[str, str],
    ) -> None:
        self._queue = queue
        self._executor = executor
        self._concurrency = concurrency
        self._type_limits = type_limits
        self._environment = environment
        self._pause_seconds = 0.0
        self._closed = False
        self.starting: set[AttemptId] = set()
        self.claiming = asyncio.Lock()
        """Held from a claim until it is in `starting`: who holds it sees slots and starts that belong together."""

    def close(self) -> None:
        """Start nothing more."""
        self._closed = True

    async def dispatch(self, wake: asyncio.Event) -> None:
        """Start what can be started, then wait to be woken, for ever."""
        while True:
            while await self._start_next():
                pass
            if self._pause_seconds:
                await asyncio.sleep(self._pause_seconds)
            else:
                await wait_at_most(wake, POLL_SECONDS)

    async def _start_next(self) -> bool:
        async with self.claiming:
            if self._closed:
                return False
            claim = await self._queue.claim(self._concurrency, self._type_limits)
            if claim is None:
                self._pause_seconds = 0.0
                return False
            self.starting.add(claim.attempt_id)
        try:
            return await self._start(claim)
        finally:
            self.starting.discard(claim.attempt_id)

    async def _start(self, claim: Claim) -> bool:
        names = {"task_id": claim.attempt_id.task_id, "attempt": claim.attempt_id.attempt, "task_type": claim.task_type}
        try:
            await self._executor.start(self._spec(claim))
        except StartError as fault:
            logger.warning("attempt_not_started", extra=names | {"reason": str(fault)})
            reason = Reason(ErrorCode.CANNOT_START, f"The attempt could not be started and is tried again: {fault}")
            await self._queue.requeue(claim.attempt_id, reason, counts_as_loss=False)
            self._pause_seconds = min(max(2 * self._pause_seconds, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
            return False
        logger.info("attempt_started", extra=names)
        self._pause_seconds = 0.0
        return True

    def _spec(self, claim: Claim) -> AttemptSpec:
        environment = dict(self._environment) | {
            Env.TASK_ID: claim.attempt_id.task_id,
            Env.ATTEMPT: str(claim.attempt_id.attempt),
            Env.TOKEN: claim.token,
        }
        return AttemptSpec(claim.attempt_id, claim.task_type, environment)
