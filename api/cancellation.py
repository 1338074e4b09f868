"""Cancelling asyncio tasks, and telling our own cancellation from one that a library leaks."""

from __future__ import annotations

import asyncio
from typing import Final

CANCEL_AGAIN_SECONDS: Final = 0.5


def is_being_cancelled() -> bool:
    """Return whether the current task was cancelled by our own code.

    A `CancelledError` that arrives while this is False was leaked by a library (a cancelled future of its own), and is
    an error like any other: a loop that ends for it ends silently.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def cancel(*tasks: asyncio.Future[None]) -> None:
    """Cancel tasks and wait until they are over.

    They are cancelled until they are: up to Python 3.11 `asyncio.wait_for`, which redis-py uses, loses a cancellation
    that comes together with a reply (python/cpython#86296).
    """
    pending = {task for task in tasks if not task.done()}
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
