"""Tasks as Lua's `view` gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.core.task import task_from_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.core.task import Task


def task_from_view(reply: Sequence[Any]) -> Task:
    """Return the task of a view: its id, its record as a flat list, its place in the queue, its next delivery try."""
    task_id, flat, position, due = reply
    texts = [text.decode() for text in flat]
    record = dict(zip(texts[::2], texts[1::2], strict=True))
    return task_from_record(task_id.decode(), record, position, None if due is None else int(due))
