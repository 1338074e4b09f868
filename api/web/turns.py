"""Turns: so many requests at a time ask Redis, however many connections there are.

Each of them takes a connection to Redis, and so a descriptor: attempts and callbacks must not be left without.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from api.web.problems import Code, Problem

if TYPE_CHECKING:
    from types import TracebackType

REQUESTS_AT_A_TIME: Final = 64
RESULTS_AT_A_TIME: Final = 4
"""Results that are read from Redis at a time: each may have `result_max_bytes`."""
LOGS_AT_A_TIME: Final = 4
"""Logs that are read at a time: that of an attempt which runs may take the API server seconds."""
WAIT_SECONDS: Final = 1.0


class Turns:
    """An async context manager that lets so many in at a time.

    Raises:
        Problem: 503 for those who have waited for a second.
    """

    def __init__(self, number: int) -> None:
        self._free = asyncio.Semaphore(number)

    async def __aenter__(self) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            detail = "The service already handles its maximum of requests; try again."
            raise Problem(503, Code.UNAVAILABLE, detail, headers={"Retry-After": "1"}) from None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._free.release()
