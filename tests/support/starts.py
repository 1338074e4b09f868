"""Starting attempts one at a time, as the dispatcher does side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.controller.dispatch import Dispatcher


async def start_one(dispatcher: Dispatcher) -> bool:
    """Claim an attempt and wait until its start is over; False if none could be claimed."""
    start = await dispatcher.start_next()
    if start is None:
        return False
    await start
    return True
