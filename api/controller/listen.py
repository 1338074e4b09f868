"""Hears what Redis announces, and wakes the duties that it concerns."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.contract import DeliveryStatus, State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from api.queue.changes import Change


@dataclass(frozen=True, slots=True)
class Wakeups:
    """One event for each duty that waits for something to do."""

    dispatch: asyncio.Event = field(default_factory=asyncio.Event)
    settle: asyncio.Event = field(default_factory=asyncio.Event)
    deliver: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self, what: str) -> None:
        """Wake the duties that a change (see `api.queue.changes.Change`) concerns."""
        if what in {State.QUEUED, "released"}:
            self.dispatch.set()
        elif what == State.CANCELLED:
            self.settle.set()
        elif what in {"deliver", DeliveryStatus.PENDING}:
            self.deliver.set()

    def wake_all(self) -> None:
        """Let every duty look anew: what was announced before is unknown."""
        self.dispatch.set()
        self.settle.set()
        self.deliver.set()


async def listen(changes: Callable[[], AsyncIterator[Change | None]], wakeups: Wakeups) -> None:
    """Wake duties until the connection is lost."""
    async for change in changes():
        if change is None:
            wakeups.wake_all()
        else:
            wakeups.wake(change.what)
