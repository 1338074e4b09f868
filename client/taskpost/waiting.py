"""Following tasks to their ends by polling, through short outages of the service."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

from taskpost.errors import ApiError, Unreachable, WaitTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from taskpost.models import Task

FIRST_INTERVAL_SECONDS: Final = 0.1
LONGEST_INTERVAL_SECONDS: Final = 1.0
INTERVAL_GROWTH: Final = 1.3
SHORTEST_REQUEST_SECONDS: Final = 1.0
"""Even a wait of no time asks once, and gives the answer a chance."""
LONGEST_OUTAGE_SECONDS: Final = 60.0
"""How long the service may be away while a wait has no timeout of its own."""


def wait_for_ends(
    get: Callable[[str, float], Task],
    task_ids: Iterable[str],
    *,
    timeout_seconds: float | None,
    on_change: Callable[[Task], object] | None,
) -> dict[str, Task]:
    """Poll every task until all have ended, and return them in the order given.

    Args:
        get: reads a task within a number of seconds.
        task_ids: the tasks to follow.
        timeout_seconds: when to give up with `WaitTimeout`; None never does, but for a long outage of the service.
        on_change: is called with every task when first seen, and whenever it differs from before.
    """
    seen: dict[str, Task | None] = dict.fromkeys(task_ids)
    ended: dict[str, Task] = {}
    deadline = math.inf if timeout_seconds is None else time.monotonic() + timeout_seconds
    answered_at = time.monotonic()
    interval = FIRST_INTERVAL_SECONDS
    while True:
        fault: Exception | None = None
        for task_id in [task_id for task_id in seen if task_id not in ended]:
            try:
                task = get(task_id, max(deadline - time.monotonic(), SHORTEST_REQUEST_SECONDS))
            except (Unreachable, ApiError) as error:
                too_long = timeout_seconds is None and time.monotonic() - answered_at > LONGEST_OUTAGE_SECONDS
                if too_long or not _passes(error):
                    raise
                fault = error
                break
            answered_at = time.monotonic()
            if on_change and task != seen[task_id]:
                on_change(task)
            seen[task_id] = task
            if task.ended:
                ended[task_id] = task
        if len(ended) == len(seen):
            return {task_id: ended[task_id] for task_id in seen}
        remaining = deadline - time.monotonic()
        if timeout_seconds is not None and remaining <= 0:
            waiting = {task_id: task for task_id, task in seen.items() if task_id not in ended}
            raise WaitTimeout(waiting, timeout_seconds) from fault
        time.sleep(min(interval, remaining))
        interval = min(interval * INTERVAL_GROWTH, LONGEST_INTERVAL_SECONDS)


def _passes(error: Unreachable | ApiError) -> bool:
    return isinstance(error, Unreachable) or error.status == 429 or error.status >= 500  # noqa: PLR2004 - HTTP's own
