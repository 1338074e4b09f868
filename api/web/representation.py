"""How tasks look to clients. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from api.core.task import Reason
from api.web.result_url import masked
from runner.contract import State, format_time

if TYPE_CHECKING:
    from api.core.task import Delivery, Task, TaskSummary
    from api.core.task_types import TaskTypeDefinition
    from api.queue.shapes import SlotUse, Tries

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def json_bytes(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """Return compact JSON in UTF-8."""
    return _ENCODER.encode(value).encode()


def task_view(task: Task, waiting: Reason | None = None) -> dict[str, Any]:
    """Return a task as its own address shows it; `waiting` is used if its record says nothing of why it waits."""
    return {
        "task_id": task.task_id,
        "task_type": task.task_type,
        "task_status": task.state.value,
        "task_percent_done": task.percent_tenths / 10,
        "queue_position": task.queue_position,
        "priority": task.priority,
        "attempt": task.attempt,
        "attempts": [
            {"attempt": past.attempt, "ended_at": format_time(past.ended_ms), "reason": _reason(past.reason)}
            for past in task.past
        ],
        "suspensions": task.suspensions,
        "progress_message": task.message,
        "created_at": format_time(task.created_ms),
        "started_at": _time(task.started_ms),
        "finished_at": _time(task.finished_ms),
        "waiting_reason": None if task.ended else _reason(task.waiting or waiting),
        "error": _reason(task.error),
        "delivery": _delivery(task.delivery),
        "result_url": None if task.result_url is None else masked(task.result_url),
    }


def deliveries_view(found: Tries) -> dict[str, Any]:
    """Return how far a task's callback is, with each try that is kept."""
    return _delivery(found.task.delivery) | {
        "last_answer": found.answer or None,
        "tries": [
            {
                "at": format_time(past.at_ms),
                "duration_seconds": None if past.duration_ms is None else past.duration_ms / 1000,
                "by": past.by,
                "http_status": past.status,
                "error": past.error,
            }
            for past in found.tries
        ],
    }


def delivery_summary_view(task: Task) -> dict[str, Any]:
    """Return a task as the list of deliveries shows it."""
    return {
        "task_id": task.task_id,
        "task_type": task.task_type,
        "task_status": task.state.value,
        "finished_at": _time(task.finished_ms),
        "delivery": _delivery(task.delivery),
        "result_url": None if task.result_url is None else masked(task.result_url),
    }


def summary_view(task: TaskSummary) -> dict[str, Any]:
    """Return a task as lists show it."""
    return {
        "task_id": task.task_id,
        "task_type": task.task_type,
        "percent_done": task.percent_tenths / 10,
        "task_status": task.state.value,
        "created_at": format_time(task.created_ms),
        "finished_at": _time(task.finished_ms),
        "queue_position": task.queue_position,
    }


def type_view(definition: TaskTypeDefinition) -> dict[str, Any]:
    """Return a task type as clients see it."""
    return {
        "name": definition.name,
        "description": definition.description,
        "input_schema": dict(definition.input_schema),
        "example": dict(definition.example),
        "concurrency": definition.concurrency,
        "max_timeout_seconds": definition.max_timeout_seconds,
    }


def waiting_reason(
    task: Task, use: SlotUse, concurrency: int, type_concurrency: int | None, unusable: str | None = None
) -> Reason | None:
    """Say why a queued task waits, from the slots in use at the moment. `unusable` says why its type cannot be used."""
    if task.state is not State.QUEUED:
        return None
    if unusable is not None:
        return Reason("type_faulty", f"{unusable}; the task waits until it is right")
    before = _before(task.queue_position)
    if use.total >= concurrency:
        return Reason("no_free_slot", f"{_all_slots(concurrency)} taken; {before}")
    if type_concurrency is not None and use.of_type >= type_concurrency:
        return Reason("type_at_limit", f"{_all_slots(type_concurrency, ' for ' + task.task_type)} taken; {before}")
    if use.held is not None:
        return Reason(use.held.code, f"{use.held.message}; {before}")
    return Reason("about_to_start", f"A slot is free; {before}")


def _all_slots(number: int, purpose: str = "") -> str:
    return f"The one slot{purpose} is" if number == 1 else f"All {number} slots{purpose} are"


def _before(position: int | None) -> str:
    number = (position or 1) - 1
    if number == 0:
        return "this task is next"
    return "1 task is before this one" if number == 1 else f"{number} tasks are before this one"


def _delivery(delivery: Delivery) -> dict[str, Any]:
    return {
        "status": delivery.status.value,
        "attempts": delivery.attempts,
        "next_at": _time(delivery.next_ms),
        "last_error": delivery.last_error,
    }


def _time(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else format_time(milliseconds)


def _reason(reason: Reason | None) -> dict[str, str] | None:
    return None if reason is None else {"code": reason.code, "message": reason.message}
