"""Makes one delivery attempt of the service: reads the body, posts it, and always records how that ended."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from api.cancellation import is_being_cancelled
from api.controller.delivery_places import NoPlaceError
from api.queue.errors import QueueUnavailable
from runner.contract import DeliveryStatus, delivery_id
from runner.delivery.post import Try
from runner.delivery.receiver import QUICK_SECONDS, account_of, account_of_name, on_connecting, standing_of
from runner.delivery.schedule import judge
from runner.delivery.tries import Sent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from api.controller.delivery_places import Flight, Places
    from api.queue.queue import Queue
    from runner.delivery.post import Sender
    from runner.delivery.receiver import Standing

logger = logging.getLogger(__name__)

TRY_SECONDS: Final = 15.0
READS_AT_A_TIME: Final = 2
"""Each takes a connection to Redis and, for a moment, more than one copy of the body."""
READ_AGAIN_SECONDS: Final = 2.0
RECORD_SECONDS: Final = 10.0
"""How long recording is tried while Redis is down: an attempt that is not recorded is repeated."""
FIRST_PAUSE_SECONDS: Final = 0.2
CUT_SHORT: Final = "no answer within 1 second; too many others wait for slow receivers, so it is made again"
BODY_GONE: Final = Try("the outcome is no longer kept")


class Attempts:
    """Makes attempts and reports each. Every one ends recorded, or with its lease running out while Redis is away."""

    def __init__(self, queue: Queue, sender: Sender, retry_seconds: Sequence[float], places: Places) -> None:
        self._queue = queue
        self._sender = sender
        self._retry_seconds = retry_seconds
        self._places = places
        self._reading = asyncio.Semaphore(READS_AT_A_TIME)

    async def make(self, flight: Flight, freed: Callable[[], None]) -> None:
        """Make one attempt; call `freed` when it takes less of the budget than before."""
        task_id = flight.delivery.task_id
        at_seconds = time.time()
        try:
            result = await self._result(flight, at_seconds, freed)
        except NoPlaceError:
            await self._record(flight, lambda: self._put_back(flight))
            return
        except QueueUnavailable as fault:  # its body could not be read
            logger.warning("delivery_not_reported", extra={"task_id": task_id, "reason": fault.reason})
            await self._record(flight, lambda: self._put_back(flight))
            return
        flight.holds_body = False
        freed()
        status, delay_seconds, counts = self._judge(flight, result)
        sent = Sent("service", at_seconds, result, standing_of(result), flight.address, counts)
        if result is BODY_GONE:
            sent = replace(sent, standing=None)
        if await self._record(flight, lambda: self._report(flight, status, delay_seconds, sent)):
            names = {"task_id": task_id, "status": status.value, "tries": flight.delivery.tries + 1}
            logger.info("delivery_tried", extra=names | {"error": result.error})

    def _judge(self, flight: Flight, result: Try) -> tuple[DeliveryStatus, float, bool]:
        if result is BODY_GONE:
            return DeliveryStatus.DEAD, 0.0, True
        if result.error == CUT_SHORT:
            return DeliveryStatus.PENDING, 0.0, False
        chance = random.random()  # noqa: S311 - a jitter
        return *judge(result, flight.delivery.tries + 1, chance, self._retry_seconds), True

    async def _result(self, flight: Flight, at_seconds: float, freed: Callable[[], None]) -> Try:
        """Return how the attempt ended; a bug of ours counts as a failed attempt.

        Raises:
            NoPlaceError: if it was not made because its address has no free place.
            QueueUnavailable: if the body could not be read.
        """
        began = time.monotonic()
        try:
            return await self._post_in_time(flight, at_seconds, freed)
        except (NoPlaceError, QueueUnavailable):
            raise
        except (Exception, asyncio.CancelledError) as fault:
            if isinstance(fault, asyncio.CancelledError) and is_being_cancelled():
                raise
            logger.exception("delivery_failed", extra={"task_id": flight.delivery.task_id})
            what = f"Taskpost could not make the attempt ({type(fault).__name__}, see its log)"
            return Try(what, duration_seconds=time.monotonic() - began)

    async def _post_in_time(self, flight: Flight, at_seconds: float, freed: Callable[[], None]) -> Try:
        """Post the body. An attempt that takes long needs a slow place, or is cut short."""
        on_connecting(lambda address: self._places.connecting(flight, account_of(address)))
        posting = asyncio.create_task(self._post(flight, at_seconds))
        try:
            if flight.is_quick:
                await asyncio.wait({posting}, timeout=QUICK_SECONDS)
            if flight.is_quick and not posting.done():
                flight.address = flight.address or account_of_name(flight.delivery.host)
                flight.account = flight.address
                if not self._places.stay(flight):
                    return await _end(posting) or self._cut_short()
                freed()
                await self._note_slow(flight)
            return await posting
        finally:
            await _end(posting)

    def _cut_short(self) -> Try:
        return Try(CUT_SHORT, duration_seconds=QUICK_SECONDS, omitted=self._sender.omits)

    async def _post(self, flight: Flight, at_seconds: float) -> Try:
        task_id = flight.delivery.task_id
        async with self._reading:
            stored = await self._queue.read_body(task_id)
        if stored.body is None:
            return BODY_GONE
        return await self._sender.post(
            flight.delivery.result_url,
            delivery_id(task_id),
            stored.body,
            now_seconds=at_seconds,
            timeout_seconds=TRY_SECONDS,
            grows=True,
        )

    async def _note_slow(self, flight: Flight) -> None:
        """Record that the receiver is slow before the attempt has ended, so that others to it wait apart."""
        try:
            await self._queue.deliveries.note(flight.delivery.result_url, "slow", flight.address)
        except QueueUnavailable as fault:
            logger.warning("delivery_not_reported", extra={"task_id": flight.delivery.task_id, "reason": fault.reason})

    async def _put_back(self, flight: Flight) -> None:
        delivery = flight.delivery
        no_place = bool(flight.address)
        standing: Standing | None = "slow" if no_place else None
        delay_seconds = 0.0 if no_place else READ_AGAIN_SECONDS
        await self._queue.deliveries.put_back(delivery.task_id, flight.token, delay_seconds, standing, flight.address)

    async def _report(self, flight: Flight, status: DeliveryStatus, delay_seconds: float, sent: Sent) -> None:
        report = self._queue.deliveries.report
        try:
            await report(flight.delivery.task_id, flight.token, status, delay_seconds, sent)
        except QueueUnavailable:
            raise
        except Exception as fault:  # its answer has unexpected content
            logger.exception("delivery_failed", extra={"task_id": flight.delivery.task_id})
            error = f"how the attempt ended could not be recorded ({type(fault).__name__}, see the log of Taskpost)"
            plain = Try(None if sent.result.delivered else error, duration_seconds=sent.result.duration_seconds)
            await report(flight.delivery.task_id, flight.token, status, delay_seconds, replace(sent, result=plain))

    async def _record(self, flight: Flight, call: Callable[[], Awaitable[None]]) -> bool:
        """Record something, with repeats for a while if Redis is down; return whether that worked."""
        flight.holds_body = False
        until, pause = time.monotonic() + RECORD_SECONDS, FIRST_PAUSE_SECONDS
        while True:
            try:
                await call()
            except QueueUnavailable as fault:
                if time.monotonic() + pause > until:
                    facts = {"task_id": flight.delivery.task_id, "reason": fault.reason}
                    logger.warning("delivery_not_reported", extra=facts)
                    return False
            except Exception:
                logger.exception("delivery_failed", extra={"task_id": flight.delivery.task_id})
                return False
            else:
                return True
            await asyncio.sleep(pause)
            pause *= 2


async def _end(posting: asyncio.Task[Try]) -> Try | None:
    """Cancel it; return its result if it has one all the same.

    Asking for it has the task forget its exception, which holds the body in a cycle until the next garbage collection.
    """
    posting.cancel()
    await asyncio.wait({posting})
    try:
        return posting.result()
    except (Exception, asyncio.CancelledError):  # noqa: BLE001 - the error of the task, which its other awaiter handles
        return None
