"""Keeps the duties of the controller going: none of them ends while the service runs, whatever happens to Redis."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from api.queue.errors import NotLeading, QueueUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0
CANCEL_AGAIN_SECONDS: Final = 0.5


async def supervise(name: str, duty: Callable[[], Awaitable[None]]) -> None:
    """Run a duty for ever, again after a growing pause whenever it fails. Ends by being cancelled."""
    pause = FIRST_PAUSE_SECONDS
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        try:
            await duty()
        except QueueUnavailable as fault:
            logger.warning("duty_waits_for_redis", extra={"duty": name, "reason": fault.reason})
        except NotLeading:
            logger.warning("duty_refused", extra={"duty": name})
        except Exception:
            logger.exception("duty_failed", extra={"duty": name})
        if loop.time() - began > LONGEST_PAUSE_SECONDS:
            pause = FIRST_PAUSE_SECONDS
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


async def cancel(*tasks: asyncio.Future[None]) -> None:
    """Cancel tasks and wait until they are over.

    They are cancelled until they are: up to Python 3.11 `asyncio.wait_for`, which redis-py uses, loses a cancellation
    that comes together with a reply (python/cpython#86296).
    """
    pending = set(tasks)
    interruption = None
    while pending:
        for task in pending:
            task.cancel()
        try:
            await asyncio.wait(pending, timeout=CANCEL_AGAIN_SECONDS)
        except asyncio.CancelledError as error:  # the caller is being cancelled too: no task is left behind for that
            interruption = error
        pending = {task for task in pending if not task.done()}
    if interruption is not None:
        raise interruption


async def wait_at_most(event: asyncio.Event, seconds: float) -> None:
    """Return when the event is set or the time is over, and clear it: what was waited for is looked at now."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
    event.clear()
