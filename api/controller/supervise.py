"""Keeps the duties of the controller going: none of them ends while the service runs, whatever happens to Redis."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from api.cancellation import cancel, is_being_cancelled
from api.outage import Outage
from api.queue.errors import NotLeading, QueueUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["cancel", "do_all", "supervise", "wait_at_most"]

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0


async def supervise(name: str, duty: Callable[[], Awaitable[None]], outage: Outage | None = None) -> None:
    """Run a duty for ever, again after a growing pause whenever it ends or fails. Ends only by being cancelled.

    `outage` is shared by all duties that ask the same Redis.
    """
    pause, outage = FIRST_PAUSE_SECONDS, outage or Outage()
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        await _run_once(name, duty, outage)
        if loop.time() - began > LONGEST_PAUSE_SECONDS:
            pause = FIRST_PAUSE_SECONDS
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


async def _run_once(name: str, duty: Callable[[], Awaitable[None]], outage: Outage) -> None:
    try:
        await duty()
    except QueueUnavailable as fault:
        if (facts := outage.failed()) is not None:
            logger.warning("duty_waits_for_redis", extra={"duty": name, "reason": fault.reason} | facts)
    except NotLeading:
        logger.warning("duty_refused", extra={"duty": name})
    except asyncio.CancelledError:
        if is_being_cancelled():
            raise
        logger.exception("duty_failed", extra={"duty": name})
    except Exception:
        logger.exception("duty_failed", extra={"duty": name})


async def do_all(duties: Mapping[str, Callable[[], Awaitable[None]]], outage: Outage | None = None) -> None:
    """Run duties side by side, each supervised, until cancelled.

    Raises:
        RuntimeError: if one ends all the same. Then all are cancelled, so that the caller can start them again.
    """
    running = [asyncio.create_task(supervise(name, duty, outage), name=name) for name, duty in duties.items()]
    try:
        ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel(*running)
    raise RuntimeError(f"Loops ended that never should: {', '.join(sorted(task.get_name() for task in ended))}")


async def wait_at_most(event: asyncio.Event, seconds: float) -> None:
    """Return when the event is set or the time is over, and clear it: what was waited for is looked at now."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
    event.clear()
