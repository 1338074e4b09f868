"""The facts in the log line about the end of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.contract import State

if TYPE_CHECKING:
    from api.core.task import Task


def end_facts(task: Task) -> dict[str, Any]:
    """Return the facts about a task that has ended: its times, and the code and message of its error if it failed.

    `waited_seconds` is from its submission to the begin of its last attempt, `ran_seconds` from there to its end. The
    message is the fact `reason`: `message` is a name of the logging library's own.
    """
    facts: dict[str, Any] = {"task_id": task.task_id, "task_type": task.task_type, "attempt": task.attempt}
    if task.error is not None and task.state is State.FAILED:
        facts |= {"code": str(task.error.code), "reason": task.error.message}
    began_ms = task.finished_ms if task.started_ms is None else task.started_ms
    return facts | {
        "waited_seconds": _seconds(task.created_ms, began_ms),
        "ran_seconds": _seconds(task.started_ms, task.finished_ms),
    }


def _seconds(from_ms: int | None, until_ms: int | None) -> float | None:
    return None if from_ms is None or until_ms is None else max(until_ms - from_ms, 0) / 1000
