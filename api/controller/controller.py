"""The controller: its duties side by side, each supervised, for as long as the service runs."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from api.controller.clock import keep_clock
from api.controller.deliver import Deliverer
from api.controller.dispatch import Dispatcher
from api.controller.isolate import Isolation
from api.controller.lead import Leadership
from api.controller.listen import Wakeups, listen
from api.controller.settle import Settler
from api.controller.starts import StartBook
from api.controller.supervise import cancel, do_all, supervise
from api.controller.sweep import sweep
from api.controller.withdraw import Withdrawer
from api.core.observation import Phase, StopReason
from api.outage import Outage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from api.core.decisions import Limits
    from api.core.task_types import Definitions
    from api.executors.base import Executor
    from api.queue.queue import Queue
    from api.queue.shapes import Retention
    from runner.delivery.post import Sender

logger = logging.getLogger(__name__)

Duties = dict[str, "Callable[[], Awaitable[None]]"]

SHUTDOWN_MARGIN_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class ControllerConfig:
    """What the controller is told by the settings.

    `environment` is what every runner is given, `owner` names this service among those on one instance.
    """

    concurrency: int
    suspended_concurrency: int
    types: Definitions
    environment: Mapping[str, str] = field(repr=False)
    limits: Limits
    retention: Retention
    grace_seconds: float
    owner: str
    retry_seconds: Sequence[float]


class Controller:
    """Gives slots, starts attempts, settles their ends, drives deliveries and retention."""

    def __init__(
        self,
        queue: Queue,
        executor: Executor,
        sender: Sender,
        announced: Callable[[], AsyncIterator[str | None]],
        config: ControllerConfig,
        *,
        outage: Outage | None = None,
    ) -> None:
        self._executor = executor
        self._outage = outage = outage or Outage()
        self._grace_seconds = config.grace_seconds
        self._leadership = Leadership(queue, config.owner)
        book = StartBook()
        self._dispatcher = Dispatcher(
            queue,
            executor,
            book,
            concurrency=config.concurrency,
            suspended_concurrency=config.suspended_concurrency,
            types=config.types,
            environment=config.environment,
        )
        self._settler = Settler(queue, executor, book, config.limits, config.retention.max_log_bytes)
        deliverer = Deliverer(queue, sender, config.retry_seconds, outage)
        wakeups = Wakeups()
        self._duties_of_the_leader: Duties = {
            "dispatch": lambda: self._dispatcher.dispatch(wakeups.dispatch),
            "watch": self._settler.watch,
            "settle": lambda: self._settler.sweep(wakeups.settle),
            "sweep": lambda: sweep(queue, config.retention, wakeups.retain),
            "withdraw": Withdrawer(queue, config.types).withdraw,
        }
        self._duties_of_all: Duties = {
            "clock": lambda: keep_clock(queue, answered=outage.answered),
            "listen": lambda: listen(announced, wakeups),
            "deliver": lambda: deliverer.deliver(wakeups.deliver),
            "lead": lambda: self._leadership.lead(self._lead),
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Do all duties until `stop` is set; then end what runs, if it cannot outlive the service."""
        async with AsyncExitStack() as stack:  # each step runs even if another fails
            stack.push_async_callback(self._executor.close)
            await self._executor.open()
            stack.push_async_callback(self._leadership.resign)
            doing = asyncio.create_task(supervise("controller", lambda: do_all(self._duties_of_all, self._outage)))
            stack.push_async_callback(cancel, doing)
            await stop.wait()
            await self._dispatcher.close()
            if self._executor.ends_with_service:
                await self._end_attempts()

    async def _lead(self) -> None:
        try:
            await do_all(self._duties_of_the_leader, self._outage)
        finally:
            await self._dispatcher.cut_off()

    async def _end_attempts(self) -> None:
        """Their tasks go back to the queue. Bounded, for what is still there then is settled at the next start."""
        ending = Isolation("shutdown")
        for observation in await self._executor.list():
            if observation.phase is Phase.ALIVE:
                attempt_id = observation.attempt_id
                await ending.work(attempt_id, partial(self._executor.stop, attempt_id, StopReason.SHUTDOWN), None)
        try:
            async with asyncio.timeout(self._grace_seconds + SHUTDOWN_MARGIN_SECONDS):
                while await self._executor.list():
                    await self._settler.settled.wait()
                    self._settler.settled.clear()
        except TimeoutError:
            logger.warning("attempts_left_at_shutdown", extra={"number": len(await self._executor.list())})
