"""Examples for OpenAPI: one task's life."""

from __future__ import annotations

from typing import Any, Final

from api.web.schemas import EXAMPLE_ID

SUBMISSION: Final[dict[str, Any]] = {
    "result_url": "https://example.com/results",
    "task_type": "fibonacci",
    "task_input": {"n": 100},
}
SHORTEST: Final[dict[str, Any]] = {"result_url": "https://example.com/results", "task_type": "fibonacci"}
TASK: Final[dict[str, Any]] = {
    "task_id": EXAMPLE_ID,
    "task_type": "fibonacci",
    "task_status": "queued",
    "task_percent_done": 0.0,
    "queue_position": 1,
    "priority": 0,
    "attempt": 0,
    "attempts": [],
    "suspensions": 0,
    "progress_message": None,
    "created_at": "2025-08-19T09:24:03.415Z",
    "started_at": None,
    "finished_at": None,
    "waiting_reason": None,
    "error": None,
    "delivery": {"status": "waiting", "attempts": 0, "next_at": None, "last_error": None},
    "result_url": "https://example.com/results",
}
ACCEPTED: Final = {"task": TASK, "queue_position": 1}
WAITING: Final = TASK | {
    "queue_position": 4,
    "waiting_reason": {"code": "no_free_slot", "message": "All 4 slots are taken; 3 tasks are before this one"},
}
CANCELLED: Final = TASK | {
    "task_status": "cancelled",
    "queue_position": None,
    "finished_at": "2025-08-19T09:24:04.020Z",
    "error": {"code": "cancelled", "message": "The task was cancelled"},
    "delivery": {"status": "pending", "attempts": 0, "next_at": "2025-08-19T09:24:04.020Z", "last_error": None},
}
DEAD: Final = {
    "status": "dead",
    "attempts": 2,
    "next_at": None,
    "last_error": "the receiver answered 410",
}
DELIVERIES: Final = DEAD | {
    "last_answer": "no longer here",
    "tries": [
        {
            "at": "2025-08-19T09:24:03.745Z",
            "duration_seconds": 0.02,
            "by": "runner",
            "http_status": None,
            "error": "the connection was refused",
        },
        {
            "at": "2025-08-19T09:24:08.902Z",
            "duration_seconds": 0.113,
            "by": "service",
            "http_status": 410,
            "error": "the receiver answered 410",
        },
    ],
}
DELIVERY_LIST: Final = [
    {
        "task_id": EXAMPLE_ID,
        "task_type": "fibonacci",
        "task_status": "done",
        "finished_at": "2025-08-19T09:24:03.741Z",
        "delivery": DEAD,
        "result_url": "https://example.com/results",
    }
]
REDELIVERED: Final = TASK | {
    "task_status": "done",
    "task_percent_done": 100.0,
    "queue_position": None,
    "attempt": 1,
    "started_at": "2025-08-19T09:24:03.702Z",
    "finished_at": "2025-08-19T09:24:03.741Z",
    "delivery": DEAD | {"status": "pending", "next_at": "2025-08-19T12:00:00.000Z"},
}
GIVEN_UP: Final = REDELIVERED | {
    "delivery": {"status": "dead", "attempts": 2, "next_at": None, "last_error": "given up by request"},
}
LIST: Final = [
    {
        "task_id": EXAMPLE_ID,
        "task_type": "fibonacci",
        "percent_done": 37.5,
        "task_status": "running",
        "created_at": "2025-08-19T09:24:03.415Z",
        "finished_at": None,
        "queue_position": None,
    }
]
OUTCOME: Final = {
    "task_id": EXAMPLE_ID,
    "task_type": "fibonacci",
    "status": "done",
    "result": {"n": 100, "digits": 21, "value": "354224848179261915075"},
    "error": None,
    "attempt": 1,
    "created_at": "2025-08-19T09:24:03.415Z",
    "started_at": "2025-08-19T09:24:03.702Z",
    "finished_at": "2025-08-19T09:24:03.741Z",
}
FAILED: Final = OUTCOME | {
    "status": "failed",
    "result": None,
    "error": {"code": "timed_out", "message": "The task ran longer than its 600 seconds"},
}
LOG: Final = {
    "task_id": EXAMPLE_ID,
    "task_type": "word_count",
    "task_status": "failed",
    "attempts": [
        {
            "attempt": 1,
            "output": "reading 3 lines\nTraceback (most recent call last):\n"
            '  File "/app/acme/tasks.py", line 24, in word_count\n    counts.update(line.lower().spilt())\n'
            "AttributeError: 'str' object has no attribute 'spilt'\n",
            "truncated": False,
            "complete": True,
            "note": None,
        }
    ],
}
TASK_TYPES: Final = [
    {
        "name": "fibonacci",
        "description": "The n-th Fibonacci number.",
        "input_schema": {
            "type": "object",
            "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 10_000_000}},
            "required": ["n"],
            "additionalProperties": False,
            "default": {"n": 100},
        },
        "example": {"n": 100},
        "concurrency": None,
        "max_timeout_seconds": 3600.0,
    }
]
METRICS: Final = """\
# HELP taskpost_tasks Tasks that are kept, by type and state.
# TYPE taskpost_tasks gauge
taskpost_tasks{state="queued",task_type="fibonacci"} 3.0
"""
HEALTHY: Final = {"status": "ok"}
CHECKS: Final = {
    "checks": [
        {"name": "redis", "ok": True, "message": "Redis takes writes and runs our scripts"},
        {"name": "leader", "ok": True, "message": "this service leads (0123456789abcdef)"},
        {"name": "jobs", "ok": True, "message": "the API server accepts a Job in the namespace taskpost"},
    ]
}
HERE: Final = {
    "name": "Taskpost",
    "version": "0.1.0",
    "documentation": "docs",
    "tasks": "api/tasks",
}
PAGE: Final = '<!doctype html>\n<html lang="en">...</html>\n'

ALL: Final[dict[str, Any]] = {
    "submission": SUBMISSION,
    "shortest": SHORTEST,
    "accepted": ACCEPTED,
    "waiting": WAITING,
    "cancelled": CANCELLED,
    "list": LIST,
    "outcome": OUTCOME,
    "failed": FAILED,
    "log": LOG,
    "deliveries": DELIVERIES,
    "delivery_list": DELIVERY_LIST,
    "redelivered": REDELIVERED,
    "given_up": GIVEN_UP,
    "redelivery": {"host": "example.com", "finished_from": "2025-08-19T00:00:00Z"},
    "redelivered_dead": {"redelivered": 42, "no_room": 0, "cursor": None},
    "new_url": {"result_url": "https://example.com/results"},
    "task_types": TASK_TYPES,
    "metrics": METRICS,
    "healthy": HEALTHY,
    "checks": CHECKS,
    "here": HERE,
    "page": PAGE,
}
"""By the name under which operations refer to them."""
