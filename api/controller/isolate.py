"""Loops over many items: one that fails is left alone for a growing pause, and neither stops nor delays the others."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, TypeVar

from api.cancellation import cancel, is_being_cancelled
from api.executors.base import ExecutorUnavailable
from api.queue.errors import NotLeading, QueueUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS: Final = 2.0
LONGEST_PAUSE_SECONDS: Final = 300.0
LONGEST_SILENCE_SECONDS: Final = 10.0
"""The longest pause of an item while the cluster does not answer: outages end by themselves."""
QUIET_SECONDS: Final = 5.0
MOST_FAILING: Final = 10_000
"""How many failing items are remembered; if there are more, the oldest are tried again without a pause."""
SILENCES_IN_A_ROW: Final = 3
"""Redis counts as down after so many items in a row without an answer; a single answer may just be too slow."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Isolation:
    """Works on single items for one loop of the controller."""

    def __init__(self, loop_name: str) -> None:
        self._name = loop_name
        self._failing: dict[Hashable, tuple[float, float]] = {}
        self._silences = 0
        self._quiet_until, self._untold = 0.0, 0

    def is_paused(self, item: Hashable) -> bool:
        """Return whether an item is still in the pause after its last failure."""
        return asyncio.get_running_loop().time() < self._failing.get(item, (0.0, 0.0))[1]

    async def work(self, item: Hashable, do: Callable[[], Awaitable[Result]], otherwise: Result) -> Result:
        """Return what `do` returns, or `otherwise` if the item failed now or is paused.

        Raises:
            NotLeading: nothing can be done for any item.
            QueueUnavailable: if Redis was silent for several items in a row.
        """
        if self.is_paused(item):
            return otherwise
        try:
            result = await do()
        except NotLeading:
            raise
        except QueueUnavailable as fault:
            self._silences += 1
            if self._silences >= SILENCES_IN_A_ROW:
                self._silences = 0
                raise
            self._say_waits(item, fault.reason)
        except ExecutorUnavailable as fault:
            self._pause(item, LONGEST_SILENCE_SECONDS)
            self._say_waits(item, str(fault))
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise
            logger.exception("item_failed", extra=self._pause(item))
        except Exception:
            logger.exception("item_failed", extra=self._pause(item))
        else:
            self._silences = 0
            self._failing.pop(item, None)
            return result
        return otherwise

    def _say_waits(self, item: Hashable, reason: str) -> None:
        """Log that items wait, at a limited rate, with the number of items that were not logged."""
        now_seconds = asyncio.get_running_loop().time()
        if now_seconds < self._quiet_until:
            self._untold += 1
            return
        told = {"duty": self._name, "item": str(item), "reason": reason, "more": self._untold}
        logger.warning("item_waits", extra=told)
        self._quiet_until, self._untold = now_seconds + QUIET_SECONDS, 0

    def _pause(self, item: Hashable, longest_seconds: float = LONGEST_PAUSE_SECONDS) -> dict[str, object]:
        """Pause an item for twice as long as the last time; return the fields for the log."""
        last_seconds, _ = self._failing.pop(item, (0.0, 0.0))
        seconds = min(max(2 * last_seconds, FIRST_PAUSE_SECONDS), longest_seconds)
        if len(self._failing) >= MOST_FAILING:
            del self._failing[next(iter(self._failing))]
        self._failing[item] = (seconds, asyncio.get_running_loop().time() + seconds)
        return {"duty": self._name, "item": str(item), "again_in_seconds": seconds}


async def for_each(items: Iterable[Item], work: Callable[[Item], Awaitable[object]], *, at_a_time: int) -> None:
    """Work on all items, some at the same time. An exception of `work` ends the whole call."""
    remaining = iter(items)

    async def work_on_some() -> None:
        for item in remaining:
            await work(item)

    workers = [asyncio.create_task(work_on_some()) for _ in range(at_a_time)]
    try:
        await asyncio.gather(*workers)
    finally:
        await cancel(*workers)
