"""Waiting for what tells nobody that it has changed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

POLL_SECONDS = 0.01


async def until(condition: Callable[[], Awaitable[Any]], *, seconds: float = 20.0) -> Any:
    """Return the first true value of a condition."""
    async with asyncio.timeout(seconds):
        while not (value := await condition()):  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(POLL_SECONDS)
    return value
