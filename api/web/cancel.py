"""Cancelling: a compare-and-set, repeated while the task moves on under our hands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.core.task import Reason
from api.queue.conclude import conclude
from api.web.problems import Code, Problem, no_such_task
from runner.contract import ErrorCode, State

if TYPE_CHECKING:
    from api.core.task import Task
    from api.queue.queue import Queue

MAX_TRIES: Final = 10
"""A task moves a handful of times in its life, and never that often in the time of one request."""
_REASON: Final = Reason(ErrorCode.CANCELLED, "The task was cancelled")


async def cancel(queue: Queue, task_id: str) -> Task:
    """Cancel a task, or find it cancelled, and return it.

    Raises:
        Problem: 404 if there is no such task, 409 if it is done or failed, 503 if it never held still.
    """
    for _ in range(MAX_TRIES):
        found = await queue.read(task_id)
        if found is None:
            raise no_such_task(task_id)
        task, _ = found
        if task.state is State.CANCELLED:
            return task
        if task.ended:
            raise Problem(409, Code.TASK_ENDED, f"The task is {task.state} already and cannot be cancelled.")
        await conclude(queue, task, State.CANCELLED, _REASON)
    raise Problem(503, Code.UNAVAILABLE, "The task changes too fast to be cancelled.", headers={"Retry-After": "1"})
