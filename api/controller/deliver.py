"""Drives every delivery that is due, until it is delivered or dead."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from typing import TYPE_CHECKING, Final

from api.controller.supervise import wait_at_most
from api.queue.errors import QueueUnavailable
from runner.contract import delivery_id
from runner.delivery.schedule import judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.queue.queue import Queue
    from api.queue.shapes import DueDelivery
    from runner.delivery.post import Sender

logger = logging.getLogger(__name__)

TRY_SECONDS: Final = 15.0
LEASE_SECONDS: Final = 30.0
"""Longer than a try with all its Redis calls: one that is made has its delivery for itself."""
MAX_AT_A_TIME: Final = 50
POLL_SECONDS: Final = 10.0
LAST_TRIES_SECONDS: Final = 2.0
"""How long a service that stops waits for the tries under way, so that they need not be repeated."""


class Deliverer:
    """Leases due deliveries, makes the tries side by side, and reports each."""

    def __init__(self, queue: Queue, sender: Sender, retry_seconds: Sequence[float]) -> None:
        self._queue = queue
        self._retry_seconds = retry_seconds
        self._sender = sender
        self._tries: set[asyncio.Task[None]] = set()

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
        room = MAX_AT_A_TIME - len(self._tries)
        if room <= 0:
            return POLL_SECONDS
        token = secrets.token_urlsafe(12)
        next_seconds, due = await self._queue.claim_deliveries(room, LEASE_SECONDS, token)
        for delivery in due:
            attempt = asyncio.create_task(self._try(delivery, token))
            self._tries.add(attempt)
            attempt.add_done_callback(self._tries.discard)
            attempt.add_done_callback(lambda _: wake.set())
        return POLL_SECONDS if next_seconds is None else min(next_seconds, POLL_SECONDS)

    async def _try(self, delivery: DueDelivery, token: str) -> None:
        try:
            stored = await self._queue.read_body(delivery.task_id)
            if stored.body is None:
                return
            result = await self._sender.post(
                delivery.result_url,
                delivery_id(delivery.task_id),
                stored.body,
                now_seconds=time.time(),
                timeout_seconds=TRY_SECONDS,
            )
            status, delay_seconds = judge(result, delivery.attempts + 1, random.random(), self._retry_seconds)  # noqa: S311 - a jitter
            await self._queue.report_delivery(delivery.task_id, token, status, delay_seconds, result.error or "")
        except QueueUnavailable as fault:
            logger.warning("delivery_not_reported", extra={"task_id": delivery.task_id, "reason": fault.reason})
        else:
            names = {"task_id": delivery.task_id, "status": status.value, "tries": delivery.attempts + 1}
            logger.info("delivery_tried", extra=names | {"error": result.error})
