"""Tasks as Lua's `view` gives them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from api.core.task import PastAttempt, Reason, TaskSummary, task_from_record
from runner.contract import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.core.task import Task


def task_from_view(reply: Sequence[Any]) -> Task:
    """Return the task of a view: its id, its record as a flat list, its place in the queue, its next delivery try."""
    task_id, flat, position, due, past = reply
    texts = [text.decode() for text in flat]
    record = dict(zip(texts[::2], texts[1::2], strict=True))
    due_ms = None if due is None else int(due)
    return task_from_record(task_id.decode(), record, position, due_ms, tuple(map(_past_attempt, past)))


def _past_attempt(text: bytes) -> PastAttempt:
    attempt, ended_ms, code, message = json.loads(text)
    return PastAttempt(int(attempt), int(ended_ms), Reason(code, message))


def summary_from_row(row: Sequence[Any]) -> TaskSummary:
    """Return what a list shows of a task, from a row of Lua's `list`."""
    task_id, task_type, percent, state, created, finished, position = row
    return TaskSummary(
        task_id=task_id.decode(),
        task_type=task_type.decode(),
        state=State(state.decode()),
        percent_tenths=int(percent or 0),
        created_ms=int(created),
        finished_ms=None if finished is None else int(finished),
        queue_position=position,
    )
