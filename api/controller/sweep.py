"""Takes ended tasks that are past their retention, in small steps, so that Redis serves others in between."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from api.queue.queue import Queue
    from api.queue.shapes import Retention

logger = logging.getLogger(__name__)

SHORTEST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0


async def sweep(queue: Queue, retention: Retention) -> None:
    """Sweep for ever, as often as the retention asks for."""
    pause = min(max(retention.max_age_seconds / 10, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
    while True:
        while taken := await queue.sweep(retention):
            logger.info("tasks_swept", extra={"number": taken})
        await asyncio.sleep(pause)
