"""The controller: its duties side by side, each supervised, for as long as the service runs."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from api.controller.deliver import Deliverer
from api.controller.dispatch import Dispatcher
from api.controller.listen import Wakeups, listen
from api.controller.settle import Settler
from api.controller.supervise import supervise
from api.controller.sweep import sweep
from api.core.observation import Phase, StopReason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from api.core.settle import Limits
    from api.executors.base import Executor
    from api.queue.changes import Change
    from api.queue.queue import Queue
    from api.queue.shapes import Retention
    from runner.delivery.post import Sender

logger = logging.getLogger(__name__)

SHUTDOWN_MARGIN_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class ControllerConfig:
    """What the controller is told by the settings. `environment` is what every runner is given."""

    concurrency: int
    type_limits: Mapping[str, int | None]
    environment: Mapping[str, str]
    limits: Limits
    retention: Retention
    grace_seconds: float
    retry_seconds: Sequence[float]


class Controller:
    """Gives slots, starts attempts, settles their ends, drives deliveries and retention."""

    def __init__(
        self,
        queue: Queue,
        executor: Executor,
        sender: Sender,
        changes: Callable[[], AsyncIterator[Change | None]],
        config: ControllerConfig,
    ) -> None:
        self._executor = executor
        self._grace_seconds = config.grace_seconds
        self._wakeups = Wakeups()
        dispatcher = Dispatcher(
            queue,
            executor,
            concurrency=config.concurrency,
            type_limits=config.type_limits,
            environment=config.environment,
        )
        self._settler = Settler(queue, executor, dispatcher, config.limits)
        deliverer = Deliverer(queue, sender, config.retry_seconds)
        wakeups = self._wakeups
        self._dispatch = ("dispatch", lambda: dispatcher.dispatch(wakeups.dispatch))
        self._duties = (
            ("listen", lambda: listen(changes, wakeups)),
            ("watch", self._settler.watch),
            ("settle", lambda: self._settler.sweep(wakeups.settle)),
            ("deliver", lambda: deliverer.deliver(wakeups.deliver)),
            ("sweep", lambda: sweep(queue, config.retention)),
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Do all duties until `stop` is set; then end what runs, if it cannot outlive the service."""
        await self._executor.open()
        duties = [asyncio.create_task(supervise(name, duty), name=name) for name, duty in self._duties]
        dispatch = asyncio.create_task(supervise(*self._dispatch), name="dispatch")
        try:
            await stop.wait()
            await _cancel(dispatch)
            if self._executor.ends_with_service:
                await self._end_attempts()
        finally:
            await _cancel(dispatch, *duties)
            await self._executor.close()

    async def _end_attempts(self) -> None:
        """Their tasks go back to the queue. Bounded, for what is still there then is settled at the next start."""
        for observation in await self._executor.list():
            if observation.phase is Phase.ALIVE:
                await self._executor.stop(observation.attempt_id, StopReason.SHUTDOWN)
        try:
            async with asyncio.timeout(self._grace_seconds + SHUTDOWN_MARGIN_SECONDS):
                while await self._executor.list():
                    await self._settler.settled.wait()
                    self._settler.settled.clear()
        except TimeoutError:
            logger.warning("attempts_left_at_shutdown", extra={"number": len(await self._executor.list())})


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
