"""Observes the ends of attempts and settles each. An attempt that cannot be settled delays no other."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Final

from api.controller.apply import Applier
from api.controller.isolate import Isolation, for_each
from api.controller.supervise import wait_at_most
from api.core.observation import Observation, Phase
from api.executors.base import ExecutorUnavailable
from api.queue.errors import NotLeading, QueueUnavailable
from api.queue.shapes import Slot

if TYPE_CHECKING:
    from api.controller.starts import StartBook
    from api.core.decisions import Limits
    from api.core.observation import AttemptId
    from api.executors.base import Executor
    from api.queue.queue import Queue

logger = logging.getLogger(__name__)

LONGEST_WAIT_SECONDS: Final = 5.0
REFRESH_SECONDS: Final = 300.0
"""How often the executor asks for all attempts anew: in between it hears of what changes."""
AT_A_TIME: Final = 8
"""How many attempts are settled side by side."""


class Settler:
    """Settles the attempts that hold a slot, as each ends (`watch`) and all of them time and again (`sweep`)."""

    def __init__(
        self, queue: Queue, executor: Executor, book: StartBook, limits: Limits, logs_max_bytes: int = 0
    ) -> None:
        self._queue = queue
        self._executor = executor
        self._book = book
        self._applier = Applier(queue, executor, book, limits, logs_max_bytes)
        self._isolation = Isolation("settle")
        self._refresh_at = 0.0

    @property
    def settled(self) -> asyncio.Event:
        """Set each time an attempt is settled and forgotten."""
        return self._applier.settled

    async def watch(self) -> None:
        """Settle attempts as they end, some side by side, for ever."""
        room = asyncio.Semaphore(AT_A_TIME)
        async with aclosing(self._executor.watch()) as ended, asyncio.TaskGroup() as settling:
            async for observation in ended:
                await room.acquire()
                settling.create_task(self._settle_ended(observation)).add_done_callback(lambda _: room.release())

    async def _settle_ended(self, observation: Observation) -> None:
        async def settle_it() -> None:
            look = await self._queue.look(observation.attempt_id.task_id)
            if look.task is None:
                await self._executor.forget(observation.attempt_id)
            else:
                await self._applier.settle(Slot(observation.attempt_id, look.task.task_type), observation, look)

        with suppress(QueueUnavailable, NotLeading):  # the next resync does it, under the next leader
            await self._isolation.work(observation.attempt_id, settle_it, None)

    async def sweep(self, wake: asyncio.Event) -> None:
        """Settle every attempt: at once, when woken, when a deadline passes, and every few seconds, for ever."""
        self._refresh_at = 0.0  # another may have led until now
        while True:
            await wait_at_most(wake, await self.settle_all())

    async def settle_all(self) -> float:
        """Settle every attempt that holds a slot and end those that hold none; return the seconds until the next pass.

        The slots are read before the attempts are observed: an attempt that holds one, was not starting then and is
        not seen now has never been started, or is gone.
        """
        slots, starting = await self._book.slots(self._queue.slots)
        started = [slot for slot in slots if slot.attempt_id not in starting]
        wanted = {slot.attempt_id for slot in started if not self._isolation.is_paused(slot.attempt_id)}
        observations, complete = await self._observe(wanted)
        waits = [LONGEST_WAIT_SECONDS]

        async def settle_slot(slot: Slot) -> None:
            seen = observations.get(slot.attempt_id)
            if seen is None and not complete:
                return  # the cluster does not answer
            seen = seen or Observation(slot.attempt_id, Phase.GONE)
            waits.append(await self._isolation.work(seen.attempt_id, lambda: self._settle(slot, seen), waits[0]))

        async def end_stray(observation: Observation) -> None:
            attempt_id = observation.attempt_id
            if attempt_id not in self._book.starting:
                await self._isolation.work(attempt_id, lambda: self._applier.end_without_slot(observation), None)

        await for_each(started, settle_slot, at_a_time=AT_A_TIME)
        holding = {slot.attempt_id for slot in slots}
        strays = [observations[attempt_id] for attempt_id in observations.keys() - holding - starting]
        await for_each(strays, end_stray, at_a_time=AT_A_TIME)
        return min(waits)

    async def _settle(self, slot: Slot, observation: Observation) -> float:
        return await self._applier.settle(slot, observation, await self._queue.look(slot.attempt_id.task_id))

    async def _observe(self, wanted: set[AttemptId]) -> tuple[dict[AttemptId, Observation], bool]:
        """Return the observations of all attempts, and whether an attempt without one certainly does not exist.

        Of what is wanted and not seen that is known only after asking for it.
        """
        now_seconds = asyncio.get_running_loop().time()
        observations = {seen.attempt_id: seen for seen in await self._executor.list()}
        if now_seconds < self._refresh_at and wanted <= observations.keys():
            return observations, True
        try:
            await self._executor.refresh()
        except ExecutorUnavailable as fault:
            logger.warning("executor_unavailable", extra={"reason": str(fault)})
            return observations, False
        self._refresh_at = now_seconds + REFRESH_SECONDS
        return {seen.attempt_id: seen for seen in await self._executor.list()}, True
