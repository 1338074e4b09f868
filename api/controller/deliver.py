"""Drives every delivery that is due, until it is delivered or dead: fairly, so that no receiver holds up another."""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from api.cancellation import is_being_cancelled
from api.controller.delivery_attempt import Attempts
from api.controller.delivery_places import Places
from api.controller.supervise import cancel, wait_at_most
from api.outage import Outage
from api.queue.errors import QueueUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from api.queue.queue import Queue
    from runner.delivery.post import Sender

logger = logging.getLogger(__name__)

LEASE_SECONDS: Final = 30.0
EXTEND_SECONDS: Final = 8.0
"""How often the leases of attempts in progress are extended: an attempt with a large body may outlast one."""
POLL_SECONDS: Final = 10.0
FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0
LAST_TRIES_SECONDS: Final = 2.0
"""How long a stopping service waits for attempts in progress, so that they need not be repeated."""


class Deliverer:
    """Leases due deliveries and makes their attempts concurrently. A failed claim does not end any of them."""

    def __init__(
        self, queue: Queue, sender: Sender, retry_seconds: Sequence[float], outage: Outage | None = None
    ) -> None:
        self._deliveries = queue.deliveries
        self._places = Places()
        self._attempts = Attempts(queue, sender, retry_seconds, self._places)
        self._tries: set[asyncio.Task[None]] = set()
        self._outage = outage or Outage()

    async def deliver(self, wake: asyncio.Event) -> None:
        """Make attempts as they fall due, for ever. Only the shutdown of the service cancels them."""
        extending = asyncio.create_task(self._extend_leases())
        pause = FIRST_PAUSE_SECONDS
        try:
            while True:
                seconds = None
                with _going_on(self._outage):
                    seconds = await self._start_due(wake)
                if seconds is None:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                else:
                    pause = FIRST_PAUSE_SECONDS
                    await wait_at_most(wake, seconds)
        finally:
            if self._tries:
                await asyncio.wait(self._tries, timeout=LAST_TRIES_SECONDS)
            await cancel(extending, *self._tries)

    async def _start_due(self, wake: asyncio.Event) -> float:
        """Start the attempts that are due and have room; return the seconds until this is worth doing again."""
        room = self._places.room()
        if room.quick.places <= 0 and room.again.places <= 0:
            return POLL_SECONDS
        token = secrets.token_urlsafe(12)
        next_seconds, due = await self._deliveries.claim(room, LEASE_SECONDS, token)
        for delivery in due:
            flight = self._places.enter(delivery, token)
            attempt = asyncio.create_task(self._attempts.make(flight, wake.set))
            self._tries.add(attempt)
            attempt.add_done_callback(self._tries.discard)
            attempt.add_done_callback(lambda _, flight=flight: self._places.leave(flight))  # type: ignore[misc]
            attempt.add_done_callback(lambda _: wake.set())
        return POLL_SECONDS if next_seconds is None else min(next_seconds, POLL_SECONDS)

    async def _extend_leases(self) -> None:
        while True:
            await asyncio.sleep(EXTEND_SECONDS)
            leases = [(flight.delivery.task_id, flight.token) for flight in self._places]
            if leases:
                with _going_on(self._outage):
                    await self._deliveries.extend(leases, LEASE_SECONDS)


@contextmanager
def _going_on(outage: Outage) -> Iterator[None]:
    """Log failures, and go on; a library may even leak `CancelledError`."""
    try:
        yield
    except QueueUnavailable as fault:
        if (facts := outage.failed()) is not None:
            logger.warning("duty_waits_for_redis", extra={"duty": "deliver", "reason": fault.reason} | facts)
    except (Exception, asyncio.CancelledError) as fault:
        if isinstance(fault, asyncio.CancelledError) and is_being_cancelled():
            raise
        logger.exception("duty_failed", extra={"duty": "deliver"})
