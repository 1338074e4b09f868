"""Tasks as Lua's `view` gives them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from api.core.task import PastAttempt, Reason, task_from_record

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
