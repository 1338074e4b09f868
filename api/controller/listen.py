"""Hears what Redis announces, and wakes the duties that it names."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@dataclass(frozen=True, slots=True)
class Wakeups:
    """One event for each duty that waits for something to do."""

    dispatch: asyncio.Event = field(default_factory=asyncio.Event)
    settle: asyncio.Event = field(default_factory=asyncio.Event)
    deliver: asyncio.Event = field(default_factory=asyncio.Event)
    retain: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self, duty: str | None) -> None:
        """Wake the duty of this name; all of them for None, when what was announced before is unknown."""
        for name in ("dispatch", "settle", "deliver", "retain"):
            if duty in {name, None}:
                getattr(self, name).set()


async def listen(announced: Callable[[], AsyncIterator[str | None]], wakeups: Wakeups) -> None:
    """Wake duties until the connection is lost."""
    async for duty in announced():
        wakeups.wake(duty)
