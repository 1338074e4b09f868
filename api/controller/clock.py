"""Keeps the queue's steady clock going, so that a step of the wall clock ends, delays or hastens nothing.

Redis has a wall clock only. Every service therefore reports how far its own monotonic clock has come. That clock
stands still while a laptop is suspended, and so do the deadlines of the tasks on it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.queue.queue import Queue

TICK_SECONDS: Final = 1.0
"""Well below the three seconds for which Lua follows the wall clock on its own (`runner/lua/library.lua`)."""
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_TIME_NAMESPACE: Final = Path("/proc/self/ns/time")


async def keep_clock(queue: Queue, source: str | None = None, answered: Callable[[], None] = lambda: None) -> None:
    """Tick once a second, for ever; `answered` is called after each tick."""
    named = source or monotonic_source()
    while True:
        await queue.tick(named, time.monotonic_ns() // 1_000_000)
        answered()
        await asyncio.sleep(TICK_SECONDS)


def monotonic_source() -> str:
    """Return a name of this machine's monotonic clock: the same for all processes that read it, until the next boot."""
    try:
        boot = _BOOT.read_text(encoding="ascii").strip()
        namespace = _TIME_NAMESPACE.readlink() if _TIME_NAMESPACE.is_symlink() else ""
    except OSError:  # no Linux: a service that starts again then counts as another machine
        return secrets.token_hex(8)
    return f"{boot} {namespace}"
