"""Gives free slots to waiting tasks and starts their attempts."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from api.controller.supervise import wait_at_most
from api.core.observation import Obstacle
from api.core.probing import Starts
from api.core.task import Reason
from api.executors.base import AttemptSpec, StartError, StartRefused, StartUnknown
from api.queue.conclude import conclude
from api.queue.shapes import Slot
from runner.contract import Env, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.core.observation import AttemptId
    from api.core.task_types import Definitions, TaskTypeDefinition
    from api.executors.base import Executor
    from api.queue.queue import Queue
    from api.queue.shapes import Claim

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 5.0
"""A safety net: an announcement can be missed."""
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0
AT_A_TIME: Final = 8
"""How many attempts are started side by side: a cluster takes its time to answer."""
LAST_STARTS_SECONDS: Final = 5.0
"""How long a service that stops waits for the starts under way."""
REST_SECONDS: Final = 5.0
"""How long a type rests for which there was no room, while others go on."""
START_PATIENCE_SECONDS: Final = 15.0
"""How long the start of one attempt is tried, with its slot held, while nobody knows whether it was started."""


class Dispatcher:
    """Claims and starts. `starting` holds the attempts whose start is under way: no executor can tell of them yet."""

    def __init__(
        self,
        queue: Queue,
        executor: Executor,
        *,
        concurrency: int,
        types: Definitions,
        environment: Mapping[str, str],
    ) -> None:
        self._queue = queue
        self._executor = executor
        self._concurrency = concurrency
        self._types = types
        self._environment = environment
        self._pause_seconds = 0.0
        self._closed = False
        self._start_over = asyncio.Event()
        self.starts = Starts()
        """How the newest attempts of each type began; whoever sees that notes it here."""
        self.starting: set[AttemptId] = set()
        self.claiming = asyncio.Lock()
        """Held from a claim until it is in `starting`: who holds it sees slots and starts that belong together."""

    async def close(self) -> None:
        """Start nothing more, and give the starts under way a moment: one that is cut off is an attempt for nothing."""
        self._closed = True
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_STARTS_SECONDS):
                while self.starting:
                    self._start_over.clear()
                    await self._start_over.wait()

    def rest(self, task_type: str) -> None:
        """Start nothing of a type for a moment: its last attempt did not get far."""
        self.starts.rest(task_type, asyncio.get_running_loop().time() + REST_SECONDS)

    async def dispatch(self, wake: asyncio.Event) -> None:
        """Start what can be started, then wait to be woken, for ever."""
        while True:
            while not self._pause_seconds and await self._start_some(AT_A_TIME):
                pass
            if self._pause_seconds:
                await asyncio.sleep(self._pause_seconds)
                await self._start_some(1)
            else:
                await wait_at_most(wake, POLL_SECONDS)

    async def _start_some(self, number: int) -> bool:
        """Start up to a number of attempts side by side; False if there is nothing more, or a pause is due."""
        claims: list[tuple[Claim, TaskTypeDefinition]] = []
        while len(claims) < number and (claim := await self._claim()) is not None:
            claims.append(claim)
        results = await asyncio.gather(*map(self._start_claimed, claims), return_exceptions=True)
        for fault in results:
            if isinstance(fault, BaseException):
                raise fault
        if all(results):
            self._pause_seconds = 0.0
            return len(claims) == number
        self._pause_seconds = min(max(2 * self._pause_seconds, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
        return False

    async def _claim(self) -> tuple[Claim, TaskTypeDefinition] | None:
        async with self.claiming:
            if self._closed:
                return None
            types = self._types()
            limits = {name: definition.concurrency for name, definition in types.items()}
            retries = {name: definition.retry for name, definition in types.items()}
            now_seconds = asyncio.get_running_loop().time()
            claim = await self._queue.claim(self._concurrency, self.starts.limits(limits, now_seconds), retries)
            if claim is None:
                return None
            self.starting.add(claim.attempt_id)
            return claim, types[claim.task_type]

    async def _start_claimed(self, claimed: tuple[Claim, TaskTypeDefinition]) -> bool:
        claim, definition = claimed
        try:
            return await self._start(claim, self._spec(claim, definition))
        finally:
            self.starting.discard(claim.attempt_id)
            self._start_over.set()

    async def _start(self, claim: Claim, spec: AttemptSpec) -> bool:
        """Start an attempt; False if that was not possible for a reason that others will meet too."""
        names = {"task_id": claim.attempt_id.task_id, "attempt": claim.attempt_id.attempt, "task_type": claim.task_type}
        try:
            await self._start_patiently(spec)
        except StartRefused as fault:
            logger.warning("attempt_refused", extra=names | {"reason": str(fault)})
            await self._fail(claim, Reason(fault.code, str(fault)))
            return True
        except StartError as fault:
            logger.warning("attempt_not_started", extra=names | {"reason": str(fault)})
            reason = Reason(fault.code, f"The attempt could not be started and is tried again: {fault}")
            await self._queue.requeue(claim.attempt_id, reason, counts_as_loss=False)
            if fault.code == Obstacle.QUOTA:
                self.rest(claim.task_type)
            return fault.code == Obstacle.QUOTA
        logger.info("attempt_started", extra=names)
        return True

    async def _start_patiently(self, spec: AttemptSpec) -> None:
        """Start an attempt, again and again for a while if nobody knows whether it was."""
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + START_PATIENCE_SECONDS, FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._executor.start(spec)
            except StartUnknown as fault:
                wait_seconds = max(pause, fault.retry_after_seconds or 0)
                if loop.time() + wait_seconds >= until:
                    raise
                await asyncio.sleep(wait_seconds)
                pause *= 2
            else:
                return

    async def _fail(self, claim: Claim, reason: Reason) -> None:
        """End a task whose attempt can never be started. If it has moved on meanwhile, the next sweep sees to it."""
        found = await self._queue.read(claim.attempt_id.task_id)
        if found is not None and await conclude(self._queue, found[0], State.FAILED, reason):
            await self._queue.release(Slot(claim.attempt_id, claim.task_type))

    def _spec(self, claim: Claim, definition: TaskTypeDefinition) -> AttemptSpec:
        environment: dict[str, str] = dict(self._environment)
        if not definition.command:  # the environment of a program is not its runner's
            environment |= definition.env
        if definition.python is not None:
            environment[Env.TASK_PYTHON] = definition.python
        environment |= {
            Env.TASK_ID: claim.attempt_id.task_id,
            Env.ATTEMPT: str(claim.attempt_id.attempt),
            Env.TOKEN: claim.token,
        }
        return AttemptSpec(claim.attempt_id, claim.task_type, environment, claim.timeout_ms / 1000, definition)
