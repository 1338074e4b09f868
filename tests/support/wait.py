"""Waiting for what tells nobody that it has changed."""

from __future__ import annotations

import asyncio
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

POLL_SECONDS = 0.01


async def until(condition: Callable[[], Awaitable[Any] | Any], *, seconds: float = 20.0) -> Any:
    """Return the first true value of a condition, which may be awaited."""
    async with asyncio.timeout(seconds):
        while True:
            value = condition()
            if isawaitable(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(POLL_SECONDS)
