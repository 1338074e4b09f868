"""Applies the decision of `api.core.settle` about one attempt: the I/O of a decision."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from api.controller.keep_log import LogKeeper
from api.core.decisions import Begin, Complete, Fail, Release, Requeue, Stop, Suspend, Wait
from api.core.observation import Phase
from api.core.settle import cannot_start, settle
from api.queue.conclude import complete, conclude, log_end
from runner.contract import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.controller.starts import StartBook
    from api.core.decisions import Decision, Limits
    from api.core.observation import AttemptId, Observation, StopReason
    from api.core.task import Task
    from api.executors.base import Executor
    from api.queue.queue import Queue
    from api.queue.shapes import Look, Slot

logger = logging.getLogger(__name__)

LONGEST_WAIT_SECONDS: Final = 5.0
SHORTEST_WAIT_SECONDS: Final = 0.02
STARTING_WAIT_SECONDS: Final = 2.0
"""How often an attempt that has not begun is observed: its waiting reason must be shown within five seconds."""


class Applier:
    """Decides about single attempts, and applies the decisions."""

    def __init__(
        self, queue: Queue, executor: Executor, book: StartBook, limits: Limits, logs_max_bytes: int = 0
    ) -> None:
        self._queue = queue
        self._executor = executor
        self._book = book
        self._limits = limits
        self._logs = LogKeeper(queue, executor, logs_max_bytes)
        self.settled = asyncio.Event()
        """Set each time an attempt is settled and forgotten."""

    async def settle(self, slot: Slot, observation: Observation, look: Look) -> float:
        """Decide about an observed attempt and apply the decision; return the seconds until the next one is due."""
        task, now_ms = look.task, look.now_ms
        decision = settle(task, observation, now_ms, self._limits)
        await self._note(task, observation)
        if isinstance(decision, Wait):
            return _seconds_until(decision, task, now_ms)
        names = {"task_id": slot.attempt_id.task_id, "attempt": slot.attempt_id.attempt, "task_type": slot.task_type}
        if isinstance(decision, Stop):
            logger.info("attempt_stopping", extra=names | {"reason": decision.reason.value})
            await self._stop(slot.attempt_id, decision.reason)
        elif isinstance(decision, Begin):
            if await self._queue.begin(slot.attempt_id):
                logger.info("attempt_begun", extra=names)
            return await self.settle(slot, observation, await self._queue.look(slot.attempt_id.task_id))
        elif isinstance(decision, Suspend):
            logger.info("attempt_suspended", extra=names | {"reason": decision.reason.message})
            await self._queue.suspend(slot.attempt_id, decision.reason, released=decision.released)
        else:
            await self._logs.keep(observation, task)
            if await self._apply_end(slot, task, decision):
                _say_settled(decision, task, names)
        return LONGEST_WAIT_SECONDS

    async def end_without_slot(self, observation: Observation) -> None:
        """End an attempt that held no slot when the slots were read, unless it has one by now."""
        look = await self._queue.look(observation.attempt_id.task_id)
        if look.task is not None and look.task.has_attempt(observation.attempt_id.attempt):
            return
        match settle(look.task, observation, look.now_ms, self._limits):
            case Stop(reason):
                await self._stop(observation.attempt_id, reason)
            case Release():
                await self._executor.forget(observation.attempt_id)
            case _:  # it has a moment to end by itself
                pass

    async def _note(self, task: Task | None, observation: Observation) -> None:
        """Record why an attempt has not begun, to be shown, and whether its type can start."""
        if task is None or task.attempt != observation.attempt_id.attempt or task.claimed_ms is None:
            return
        self._book.note(
            task.task_type, observation.attempt_id, task.claimed_ms, cannot_start=cannot_start(task, observation)
        )
        if task.stop_asked or observation.stop_asked:  # its waiting reason is the reason for the stop
            return
        if observation.phase is Phase.ALIVE and observation.waiting != task.waiting:
            await self._queue.note_waiting(observation.attempt_id, observation.waiting)

    async def _apply_end(self, slot: Slot, task: Task | None, decision: Decision) -> bool:
        """Apply it; False if it no longer applies: the attempt has just begun or ended, or was settled already."""
        match decision:
            case Requeue(reason, counts_as_loss, rest, is_retry, pause_seconds):
                if rest:
                    self._book.rest(slot.task_type, reason.message)
                if not await self._queue.requeue(
                    slot.attempt_id,
                    reason,
                    counts_as_loss=counts_as_loss,
                    is_retry=is_retry,
                    pause_seconds=pause_seconds,
                ):
                    return False
            case Fail(reason) if task is not None:
                if not await conclude(self._queue, task, State.FAILED, reason):
                    return False
            case Complete() if task is not None:
                if not await complete(self._queue, task):
                    return False
            case _:
                assert isinstance(decision, Release)  # noqa: S101 - the type checker's proof that no case is missing
        freed = await self._queue.release(slot)
        await self._executor.forget(slot.attempt_id)
        self.settled.set()
        return freed or not isinstance(decision, Release)

    async def _stop(self, attempt_id: AttemptId, reason: StopReason) -> None:
        await self._queue.stopping(attempt_id, reason)
        await self._logs.keep_before_stop(attempt_id)
        await self._executor.stop(attempt_id, reason)


def _say_settled(decision: Decision, task: Task | None, names: Mapping[str, object]) -> None:
    """Log the end of an attempt, in one line: that of its task, if the attempt itself has recorded it."""
    if isinstance(decision, Fail | Complete):
        return  # who ended the task has logged that
    if isinstance(decision, Release) and task is not None and task.state in {State.DONE, State.FAILED}:
        log_end(task)
        return
    why = {"code": decision.reason.code, "reason": decision.reason.message} if isinstance(decision, Requeue) else {}
    logger.info("attempt_settled", extra={**names, "decision": type(decision).__name__.lower(), **why})


def _seconds_until(decision: Wait, task: Task | None, now_ms: int) -> float:
    longest = STARTING_WAIT_SECONDS if task is not None and task.state is State.STARTING else LONGEST_WAIT_SECONDS
    if decision.until_ms is None:
        return longest
    return min(max((decision.until_ms - now_ms) / 1000, SHORTEST_WAIT_SECONDS), longest)
