"""Takes ended tasks that are past their retention, in small steps, so that Redis serves others in between."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from api.controller.supervise import wait_at_most

if TYPE_CHECKING:
    import asyncio

    from api.queue.queue import Queue
    from api.queue.shapes import Retention

logger = logging.getLogger(__name__)

SHORTEST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0


async def sweep(queue: Queue, retention: Retention, wake: asyncio.Event) -> None:
    """Forget ended tasks for ever, in the interval of the retention, and at once when a limit is exceeded."""
    pause = min(max(retention.max_age_seconds / 10, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
    while True:
        passed = 0
        while True:
            done = await queue.sweep(retention)
            # Those that are still needed hide no others, however many they are.
            passed = 0 if done.forgotten else passed + done.passed
            if done.forgotten:
                logger.info("tasks_swept", extra={"number": done.forgotten})
            for lost in done.dropped:
                names = {"task_id": lost.task_id, "receiver": lost.receiver, "bytes": lost.number_of_bytes}
                logger.warning("result_dropped", extra=names)
            changed = done.forgotten or done.dropped or done.logs_dropped
            if not changed and (not done.passed or passed >= done.ended):
                break
        await wait_at_most(wake, pause)
