"""Leadership: of all services on one instance, one at a time dispatches and settles. A lease in Redis says which.

What keeps things right is the fence of every attempt, not this lease: a leader that slept past it does no harm. It only
sees to it that nobody takes another's attempts for lost.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from api.cancellation import cancel
from api.queue.errors import QueueUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from api.queue.queue import Queue

logger = logging.getLogger(__name__)

LEASE_SECONDS: Final = 10.0
RENEW_SECONDS: Final = 2.0


class Leadership:
    """The lease, as `owner` holds it or waits for it. A service that starts again as the same owner has it at once."""

    def __init__(self, queue: Queue, owner: str) -> None:
        self._queue = queue
        self._owner = owner

    async def lead(self, duties: Callable[[], Awaitable[None]]) -> None:
        """Do the leader's duties whenever the lease is ours, for ever.

        Duties that end or fail are begun again after a pause.
        """
        while True:
            if await self._queue.lead(self._owner, LEASE_SECONDS):
                logger.info("leadership_taken", extra={"owner": self._owner})
                if await self._lead_while_held(duties):
                    logger.warning("leadership_lost", extra={"owner": self._owner})
            await asyncio.sleep(RENEW_SECONDS)

    async def resign(self) -> None:
        """Let another lead at once."""
        with suppress(QueueUnavailable):
            await self._queue.resign(self._owner)

    async def _lead_while_held(self, duties: Callable[[], Awaitable[None]]) -> bool:
        """Return whether the lease was lost; False if the duties ended by themselves."""
        loop = asyncio.get_running_loop()
        doing = asyncio.ensure_future(duties())
        held_until = loop.time() + LEASE_SECONDS
        try:
            while loop.time() < held_until:
                await asyncio.wait([doing], timeout=RENEW_SECONDS)
                if doing.done():  # waiting for it again would not wait
                    fault = None if doing.cancelled() else doing.exception()
                    logger.error("leader_ended", exc_info=fault, extra={"owner": self._owner})
                    return False
                with suppress(QueueUnavailable):
                    if not await self._queue.lead(self._owner, LEASE_SECONDS):
                        return True
                    held_until = loop.time() + LEASE_SECONDS
        finally:
            await cancel(doing)
        return True
