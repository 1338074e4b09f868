"""Drives every delivery that is due, until it is delivered or dead: fairly, so that no receiver holds up another."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from api.controller.supervise import wait_at_most
from api.queue.errors import QueueUnavailable
from api.queue.shapes import Lane, Room
from runner.contract import DeliveryStatus, delivery_id
from runner.delivery.post import Try
from runner.delivery.schedule import judge
from runner.delivery.tries import Sent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.queue.queue import Queue
    from api.queue.shapes import DueDelivery
    from runner.delivery.post import Sender

logger = logging.getLogger(__name__)

TRY_SECONDS: Final = 15.0
LEASE_SECONDS: Final = 30.0
"""Longer than a try with all its Redis calls: one that is made has its delivery for itself."""
AT_A_TIME: Final = 400
AGAIN_AT_A_TIME: Final = 300
"""How many of them may be tries made again: receivers that have failed never take all the room."""
PER_HOST: Final = 16
"""How many of them may go to one host: one that hangs takes no more than its share."""
POLL_SECONDS: Final = 10.0
LAST_TRIES_SECONDS: Final = 2.0
"""How long a service that stops waits for the tries under way, so that they need not be repeated."""


class Deliverer:
    """Leases due deliveries, makes the tries side by side, and reports each."""

    def __init__(self, queue: Queue, sender: Sender, retry_seconds: Sequence[float]) -> None:
        self._deliveries = queue.deliveries
        self._queue = queue
        self._retry_seconds = retry_seconds
        self._sender = sender
        self._tries: dict[asyncio.Task[None], DueDelivery] = {}

    async def deliver(self, wake: asyncio.Event) -> None:
        """Make tries as they fall due, for ever."""
        try:
            while True:
                await wait_at_most(wake, await self._start_due(wake))
        finally:
            if self._tries:
                await asyncio.wait(self._tries, timeout=LAST_TRIES_SECONDS)
            for attempt in self._tries:
                attempt.cancel()

    async def _start_due(self, wake: asyncio.Event) -> float:
        """Start the tries that are due and have room; return the seconds until this is worth doing again."""
        under_way = self._tries.values()
        again = sum(delivery.lane is Lane.AGAIN for delivery in under_way)
        room = Room(AT_A_TIME - len(under_way), AGAIN_AT_A_TIME - again, PER_HOST)
        if room.total <= 0:
            return POLL_SECONDS
        token = secrets.token_urlsafe(12)
        busy = Counter(delivery.host for delivery in under_way)
        next_seconds, due = await self._deliveries.claim(room, LEASE_SECONDS, token, busy)
        for delivery in due:
            attempt = asyncio.create_task(self._try(delivery, token))
            self._tries[attempt] = delivery
            attempt.add_done_callback(self._tries.pop)
            attempt.add_done_callback(lambda _: wake.set())
        return POLL_SECONDS if next_seconds is None else min(next_seconds, POLL_SECONDS)

    async def _try(self, delivery: DueDelivery, token: str) -> None:
        try:
            began_seconds = time.time()
            stored = await self._queue.read_body(delivery.task_id)
            if stored.body is None:
                result = Try("the outcome is no longer kept")
                status, delay_seconds = DeliveryStatus.DEAD, 0.0
            else:
                result = await self._sender.post(
                    delivery.result_url,
                    delivery_id(delivery.task_id),
                    stored.body,
                    now_seconds=began_seconds,
                    timeout_seconds=TRY_SECONDS,
                )
                status, delay_seconds = judge(result, delivery.tries + 1, random.random(), self._retry_seconds)  # noqa: S311 - a jitter
            sent = Sent("service", began_seconds, result)
            await self._deliveries.report(delivery.task_id, token, status, delay_seconds, sent)
        except QueueUnavailable as fault:
            logger.warning("delivery_not_reported", extra={"task_id": delivery.task_id, "reason": fault.reason})
        except Exception:
            logger.exception("delivery_failed", extra={"task_id": delivery.task_id})
        else:
            names = {"task_id": delivery.task_id, "status": status.value, "tries": delivery.tries + 1}
            logger.info("delivery_tried", extra=names | {"error": result.error})
