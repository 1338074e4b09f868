"""Whether the service can do its work. Everybody may ask: the answer is a neutral sentence, the details are logged."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from api.queue.errors import QueueUnavailable

if TYPE_CHECKING:
    import asyncio

    from api.executors.base import Executor
    from api.queue.queue import Queue

logger = logging.getLogger(__name__)

REDIS_REFUSES: Final = "Redis refuses what the service needs"
NOT_CHECKED: Final = "Redis has not been checked yet"
NO_STARTS: Final = "No attempt can be started now"


class Readiness:
    """Asks Redis and the executor. `checked` is set once this Redis has passed the checks of the start."""

    def __init__(self, queue: Queue, executor: Executor, checked: asyncio.Event) -> None:
        self._queue = queue
        self._executor = executor
        self._checked = checked
        self._told: str | None = None

    async def why_not(self) -> str | None:
        """Return None, or why the service is not ready. A new reason is logged once, with its details."""
        reason, details = await self._look()
        if reason != self._told:
            self._told = reason
            if reason is not None:
                logger.warning("service_not_ready", extra={"reason": reason, "details": details})
        return reason

    async def _look(self) -> tuple[str | None, str]:
        reason, details = await fault_of_redis(self._queue, self._checked)
        if reason is not None:
            return reason, details
        if self._executor.trouble is not None:
            return NO_STARTS, self._executor.trouble
        return None, ""


async def fault_of_redis(queue: Queue, checked: asyncio.Event) -> tuple[str | None, str]:
    """Return None, or why Redis cannot be used in neutral words, and the details for the log."""
    try:
        await queue.probe()
    except QueueUnavailable as fault:
        return fault.reason.partition(":")[0], fault.reason  # what follows may name addresses
    except Exception as fault:  # noqa: BLE001 - any error of Redis makes the service unready, never a 500
        return REDIS_REFUSES, str(fault)
    return (None, "") if checked.is_set() else (NOT_CHECKED, "")
