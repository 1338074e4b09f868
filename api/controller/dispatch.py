"""Gives free slots to waiting tasks and starts their attempts, each on its own: none waits for another's start."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from api.cancellation import is_being_cancelled
from api.controller.supervise import cancel, wait_at_most
from api.core.observation import Obstacle
from api.core.task import Reason
from api.executors.base import AttemptSpec, StartError, StartRefused, StartUnknown
from api.queue.conclude import conclude
from api.queue.errors import NotLeading, QueueUnavailable
from api.queue.queue import NO_LIMIT
from api.queue.shapes import Slot
from runner.contract import Env, ErrorCode, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.controller.starts import StartBook
    from api.core.task_types import Definitions, TaskTypeDefinition
    from api.executors.base import Executor
    from api.queue.queue import Queue
    from api.queue.shapes import Claim

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 5.0
"""A safety net: an announcement can be missed."""
FIRST_PAUSE_SECONDS: Final = 1.0
LAST_STARTS_SECONDS: Final = 5.0
"""How long a service that stops waits for the starts under way."""
START_PATIENCE_SECONDS: Final = 15.0
"""How long the start of one attempt is tried, with its slot held, while nobody knows whether it was started."""
LONGEST_START_SECONDS: Final = 60.0
"""The longest time for one try of a start. The bounds of the executors are shorter."""
MESSAGE_CHARACTERS: Final = 500
TRACEBACK_SECONDS: Final = 10.0


class Dispatcher:
    """Claims attempts and starts them. The book holds the state of all starts."""

    def __init__(
        self,
        queue: Queue,
        executor: Executor,
        book: StartBook,
        *,
        concurrency: int,
        suspended_concurrency: int = NO_LIMIT,
        types: Definitions,
        environment: Mapping[str, str],
    ) -> None:
        self._queue = queue
        self._executor = executor
        self._book = book
        self._concurrency = concurrency
        self._suspended_concurrency = suspended_concurrency
        self._types = types
        self._environment = environment
        self._closed = False
        self._shown: dict[str, Reason] | None = None
        self._starts: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._traceback_at = 0.0

    async def close(self) -> None:
        """Start nothing more, and give the starts under way a moment: one that is cut off is an attempt for nothing."""
        self._closed = True
        await self._book.wait_until_none(LAST_STARTS_SECONDS)

    async def dispatch(self, wake: asyncio.Event) -> None:
        """Start all attempts that can start, then wait to be woken, for ever.

        The starts under way outlive a fault of this loop (a claim that Redis does not answer), not its cancellation.
        """
        self._wake, self._shown = wake, None
        try:
            while True:
                if await self.start_next() is None:
                    await self._show_held()
                    until_next = self._book.seconds_until_next()
                    await wait_at_most(wake, POLL_SECONDS if until_next is None else min(until_next, POLL_SECONDS))
        except asyncio.CancelledError:
            if is_being_cancelled():
                await self.cut_off()
            raise

    async def cut_off(self) -> None:
        """Cancel the starts in progress. The service that leads now observes which attempts exist."""
        await cancel(*self._starts)

    async def start_next(self) -> asyncio.Task[None] | None:
        """Claim an attempt and begin to start it in the background; None if nothing can be claimed now."""
        types = self._types()
        claim = await self._book.claim(lambda: self._claim(types))
        if claim is None:
            return None
        start = asyncio.create_task(
            self._start_claimed(claim, types[claim.task_type]), name=f"start-{claim.attempt_id}"
        )
        self._starts.add(start)
        start.add_done_callback(partial(self._after_start, claim))
        return start

    async def _claim(self, types: Mapping[str, TaskTypeDefinition]) -> Claim | None:
        limits = self._book.limits({name: definition.concurrency for name, definition in types.items()})
        if self._closed or not limits:
            return None
        retries = {name: definition.retry for name, definition in types.items()}
        suspended = self._suspended_concurrency
        return await self._queue.claim(self._concurrency, limits, retries, suspended_concurrency=suspended)

    def _after_start(self, claim: Claim, start: asyncio.Task[None]) -> None:
        self._starts.discard(start)
        if self._book.is_at_limit(claim.task_type):
            self._wake.set()
        self._book.over(claim.attempt_id)

    async def _show_held(self) -> None:
        """Record in Redis which types are paused, and why, so that every replica can show it."""
        held = self._book.held()
        if held != self._shown:
            await self._queue.hold(held)
            self._shown = held

    async def _start_claimed(self, claim: Claim, definition: TaskTypeDefinition) -> None:
        """Start an attempt; if that fails, its task goes back to the queue or ends. Raises cancellations only."""
        try:
            await self._start(claim, definition)
        except (QueueUnavailable, NotLeading) as fault:  # the leader's next resync finds the slot without an attempt
            logger.warning("start_not_recorded", extra=_names(claim) | {"reason": str(fault)})
        except Exception:
            logger.exception("start_failed", extra=_names(claim))

    async def _start(self, claim: Claim, definition: TaskTypeDefinition) -> None:
        began_seconds = asyncio.get_running_loop().time()
        try:
            await self._start_patiently(claim, self._spec(claim, definition))
        except StartRefused as fault:
            logger.warning("attempt_refused", extra=_names(claim) | {"reason": str(fault)})
            await self._fail(claim, Reason(fault.code, str(fault)))
        except StartError as fault:
            logger.warning("attempt_not_started", extra=_names(claim) | {"reason": str(fault)})
            if fault.code == Obstacle.QUOTA:
                self._book.rest(claim.task_type, str(fault))
            else:
                self._book.failed(claim.task_type, str(fault), began_seconds=began_seconds)
            await self._put_back(claim, fault)
        except Exception as fault:  # noqa: BLE001 - logged there
            self._say_failed(claim, fault)
            await self._fail(claim, Reason(ErrorCode.CANNOT_START, _unexpected(fault)))
        else:
            if self._book.succeeded(claim.task_type):
                self._wake.set()
            logger.info("attempt_started", extra=_names(claim))

    def _say_failed(self, claim: Claim, fault: Exception) -> None:
        """Log an unexpected exception of a start; tracebacks are rate-limited, as a whole queue may fail alike."""
        now_seconds = asyncio.get_running_loop().time()
        is_new = now_seconds >= self._traceback_at
        logger.error("start_failed", extra=_names(claim) | {"reason": repr(fault)}, exc_info=fault if is_new else None)
        if is_new:
            self._traceback_at = now_seconds + TRACEBACK_SECONDS

    async def _start_patiently(self, claim: Claim, spec: AttemptSpec) -> None:
        """Start an attempt; repeat that for a while if it is uncertain whether it was started.

        Raises:
            StartError: if it was not; `may_exist` says of all tries whether one may have started it all the same.
        """
        loop = asyncio.get_running_loop()
        until, pause, may_exist = loop.time() + START_PATIENCE_SECONDS, FIRST_PAUSE_SECONDS, False
        while True:
            try:
                await self._start_once(spec)
            except StartUnknown as fault:
                may_exist |= fault.may_exist
                wait_seconds = max(pause, fault.retry_after_seconds or 0)
                if loop.time() + wait_seconds >= until:
                    fault.may_exist = may_exist
                    raise
                self._book.unanswered(claim.task_type, str(fault))
                self._wake.set()
                await asyncio.sleep(wait_seconds)
                pause *= 2
            except StartError as fault:
                fault.may_exist |= may_exist
                raise
            else:
                return

    async def _start_once(self, spec: AttemptSpec) -> None:
        try:
            async with asyncio.timeout(LONGEST_START_SECONDS):
                await self._executor.start(spec)
        except TimeoutError:
            raise StartUnknown(f"the start was not over after {LONGEST_START_SECONDS:g} seconds") from None
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise
            raise StartUnknown("the start was cut off by a library that it uses") from None

    async def _put_back(self, claim: Claim, fault: StartError) -> None:
        reason = Reason(fault.code, f"The attempt could not be started and is tried again: {fault}")
        await self._queue.requeue(claim.attempt_id, reason, counts_as_loss=False, never_started=not fault.may_exist)

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


def _names(claim: Claim) -> dict[str, Any]:
    return {"task_id": claim.attempt_id.task_id, "attempt": claim.attempt_id.attempt, "task_type": claim.task_type}


def _unexpected(fault: Exception) -> str:
    """Describe an unexpected error. Its text may contain characters that Redis or JSON cannot store."""
    text = str(fault).encode(errors="replace").decode()[:MESSAGE_CHARACTERS]
    return f"The attempt could not be started: {type(fault).__name__}: {text}. Look at what its task type sets."
