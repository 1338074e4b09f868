"""The service ends a task itself: cancelled, or failed with what its attempt's end means."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from api.core.end_line import end_facts
from runner.contract import Error, State, outcome_body

if TYPE_CHECKING:
    from api.core.task import Reason, Task
    from api.queue.queue import Queue

logger = logging.getLogger(__name__)


async def conclude(queue: Queue, task: Task, outcome: State, reason: Reason) -> bool:
    """Build the callback's body and end a task that is still as `task` says; False if it has moved on."""
    return await _end(queue, task, outcome, reason, "null")


async def complete(queue: Queue, task: Task) -> bool:
    """End a task as `done`, with the result that was handed over; False if it has moved on."""
    result = await queue.read_staged(task.task_id)
    return result is not None and await _end(queue, task, State.DONE, None, result.decode())


def log_end(task: Task) -> None:
    """Log the one line about the end of a task."""
    facts = end_facts(task)
    if task.state is State.DONE:
        logger.info("task_done", extra=facts)
    elif task.state is State.FAILED:
        logger.warning("task_failed", extra=facts)
    else:
        logger.info("task_cancelled", extra=facts)


async def _end(queue: Queue, task: Task, outcome: State, reason: Reason | None, result_json: str) -> bool:
    # The clock of Redis may have been set back, and no task ends before it began.
    finished_ms = max(await queue.now_ms(), task.created_ms, task.started_ms or 0)
    body = outcome_body(
        task_id=task.task_id,
        task_type=task.task_type,
        status=outcome,
        result_json=result_json,
        error=None if reason is None else Error(code=str(reason.code), message=reason.message),
        attempt=task.attempt,
        created_ms=task.created_ms,
        started_ms=task.started_ms,
        finished_ms=finished_ms,
    )
    ended = await queue.conclude(task, outcome, reason, body, finished_ms)
    if ended:
        log_end(replace(task, state=outcome, error=reason, finished_ms=finished_ms))
    return ended
