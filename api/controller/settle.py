"""Sees attempts end, and applies what `api.core.settle` says that means."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Final

from api.controller.supervise import wait_at_most
from api.core.decisions import Begin, Complete, Fail, Release, Requeue, Stop, Suspend, Wait
from api.core.observation import Observation, Phase
from api.core.settle import cannot_start, settle
from api.executors.base import ExecutorUnavailable
from api.queue.conclude import complete, conclude
from api.queue.errors import NotLeading, QueueUnavailable
from api.queue.shapes import Slot
from runner.contract import State

if TYPE_CHECKING:
    from api.controller.dispatch import Dispatcher
    from api.core.decisions import Decision, Limits
    from api.core.observation import AttemptId, StopReason
    from api.core.task import Task
    from api.executors.base import Executor
    from api.queue.queue import Queue
    from api.queue.shapes import Look

logger = logging.getLogger(__name__)

LONGEST_WAIT_SECONDS: Final = 5.0
SHORTEST_WAIT_SECONDS: Final = 0.02
REFRESH_SECONDS: Final = 10.0
"""How often the executor asks for all attempts anew: in between it hears of what changes."""
AT_A_TIME: Final = 8
"""How many ends that are watched are settled side by side."""
STARTING_WAIT_SECONDS: Final = 2.0
"""How often a look is taken at what has not begun: people want to know why, within five seconds."""


class Settler:
    """Settles the attempts that hold a slot, as each ends (`watch`) and all of them time and again (`sweep`)."""

    def __init__(self, queue: Queue, executor: Executor, dispatcher: Dispatcher, limits: Limits) -> None:
        self._queue = queue
        self._executor = executor
        self._dispatcher = dispatcher
        self._limits = limits
        self._refresh_at = 0.0
        self.settled = asyncio.Event()
        """Set each time an attempt is settled and forgotten."""

    async def watch(self) -> None:
        """Settle attempts as they end, some side by side, for ever."""
        room = asyncio.Semaphore(AT_A_TIME)
        async with aclosing(self._executor.watch()) as ended, asyncio.TaskGroup() as settling:
            async for observation in ended:
                await room.acquire()
                settling.create_task(self._settle_ended(observation)).add_done_callback(lambda _: room.release())

    async def _settle_ended(self, observation: Observation) -> None:
        with suppress(ExecutorUnavailable, QueueUnavailable, NotLeading):  # the next sweep does it, whoever leads then
            look = await self._queue.look(observation.attempt_id.task_id)
            if look.task is None:
                await self._executor.forget(observation.attempt_id)
            else:
                await self._settle(Slot(observation.attempt_id, look.task.task_type), observation, look)

    async def sweep(self, wake: asyncio.Event) -> None:
        """Settle every attempt: at once, when woken, when a deadline passes, and every few seconds, for ever."""
        self._refresh_at = 0.0  # another may have led until now
        while True:
            try:
                wait_seconds = await self.settle_all()
            except ExecutorUnavailable as fault:
                logger.warning("executor_unavailable", extra={"reason": str(fault)})
                wait_seconds = LONGEST_WAIT_SECONDS
            await wait_at_most(wake, wait_seconds)

    async def settle_all(self) -> float:
        """Settle every attempt that holds a slot, end those that hold none; return the seconds until this is due."""
        async with self._dispatcher.claiming:
            slots = await self._queue.slots()
            starting = set(self._dispatcher.starting)
            observations = await self._observe({slot.attempt_id for slot in slots} - starting)
        wait_seconds = LONGEST_WAIT_SECONDS
        for slot in slots:
            observation = observations.pop(slot.attempt_id, None)
            if slot.attempt_id not in starting:
                seen = observation or Observation(slot.attempt_id, Phase.GONE)
                look = await self._queue.look(slot.attempt_id.task_id)
                wait_seconds = min(wait_seconds, await self._settle(slot, seen, look))
        for observation in observations.values():
            if observation.attempt_id not in starting:
                await self._end_without_slot(observation)
        return wait_seconds

    async def _observe(self, wanted: set[AttemptId]) -> dict[AttemptId, Observation]:
        """Return what is seen of all attempts; of what is wanted and not seen only after asking for it."""
        now_seconds = asyncio.get_running_loop().time()
        observations = {seen.attempt_id: seen for seen in await self._executor.list()}
        if now_seconds >= self._refresh_at or not wanted <= observations.keys():
            await self._executor.refresh()
            self._refresh_at = now_seconds + REFRESH_SECONDS
            observations = {seen.attempt_id: seen for seen in await self._executor.list()}
        return observations

    async def _settle(self, slot: Slot, observation: Observation, look: Look) -> float:
        task, now_ms = look.task, look.now_ms
        decision = settle(task, observation, now_ms, self._limits)
        await self._note(task, observation)
        if isinstance(decision, Wait):
            longest = (
                STARTING_WAIT_SECONDS if task is not None and task.state is State.STARTING else LONGEST_WAIT_SECONDS
            )
            if decision.until_ms is None:
                return longest
            return min(max((decision.until_ms - now_ms) / 1000, SHORTEST_WAIT_SECONDS), longest)
        names = {"task_id": slot.attempt_id.task_id, "attempt": slot.attempt_id.attempt, "task_type": slot.task_type}
        if isinstance(decision, Stop):
            logger.info("attempt_stopping", extra=names | {"reason": decision.reason.value})
            await self._stop(slot.attempt_id, decision.reason)
        elif isinstance(decision, Begin):
            if await self._queue.begin(slot.attempt_id):
                logger.info("attempt_begun", extra=names)
            return await self._settle(slot, observation, await self._queue.look(slot.attempt_id.task_id))
        elif isinstance(decision, Suspend):
            logger.info("attempt_suspended", extra=names)
            await self._queue.suspend(slot.attempt_id)
        elif await self._apply_end(slot, task, decision):
            logger.info("attempt_settled", extra=names | {"decision": type(decision).__name__.lower()})
        return LONGEST_WAIT_SECONDS

    async def _note(self, task: Task | None, observation: Observation) -> None:
        """Keep what an attempt that has not begun waits for, where it is shown, and whether its type can start."""
        if task is None or task.attempt != observation.attempt_id.attempt or task.claimed_ms is None:
            return
        self._dispatcher.starts.note(
            task.task_type, observation.attempt_id, task.claimed_ms, cannot_start=cannot_start(task, observation)
        )
        if task.stop_asked or observation.stop_asked:  # what it waited for is why it is being ended
            return
        if task.state is State.STARTING and observation.phase is Phase.ALIVE and observation.waiting != task.waiting:
            await self._queue.note_waiting(observation.attempt_id, observation.waiting)

    async def _apply_end(self, slot: Slot, task: Task | None, decision: Decision) -> bool:
        """Apply it; False if nothing came of it: the attempt has just begun or ended, or was settled already."""
        match decision:
            case Requeue(reason, counts_as_loss, rest, is_retry):
                if rest:
                    self._dispatcher.rest(slot.task_type)
                kind = {"counts_as_loss": counts_as_loss, "is_retry": is_retry}
                if not await self._queue.requeue(slot.attempt_id, reason, **kind):
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
        await self._executor.stop(attempt_id, reason)

    async def _end_without_slot(self, observation: Observation) -> None:
        """End an attempt that held no slot when we looked, unless that was long ago and it has one since."""
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
