"""The words of the service that programs compare with, as types: a type checker finds a typo in them.

They are those of this version. A newer service may send others; they arrive as plain strings.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, TypeAlias

TaskStatus: TypeAlias = Literal["queued", "starting", "running", "done", "failed", "cancelled"]
"""The state of a task. `done`, `failed` and `cancelled` are final."""

EndStatus: TypeAlias = Literal["done", "failed", "cancelled"]
"""How a task ended."""

DeliveryStatus: TypeAlias = Literal["none", "waiting", "pending", "sending", "delivered", "dead", "blocked"]
"""How far a callback is. `none`: no callback was asked for. `waiting`: the task has not ended."""

ListedDeliveries: TypeAlias = Literal["dead", "pending"]
"""Which deliveries `Client.list_deliveries` lists: those that were given up, or those that are still to be made."""

Sender: TypeAlias = Literal["runner", "service"]
"""Who made a delivery attempt."""

ErrorCode: TypeAlias = Literal[
    "invalid_json",
    "invalid_request",
    "invalid_query",
    "invalid_idempotency_key",
    "not_found",
    "task_not_found",
    "method_not_allowed",
    "idempotency_conflict",
    "task_ended",
    "not_ended",
    "no_callback",
    "already_delivered",
    "task_expired",
    "result_gone",
    "result_dropped",
    "body_too_large",
    "head_too_large",
    "invalid_http",
    "request_timeout",
    "misdirected",
    "cross_site",
    "own_callback",
    "unsupported_coding",
    "unsupported_media_type",
    "queue_full",
    "undelivered_full",
    "idempotency_full",
    "unavailable",
    "not_ready",
    "cors_refused",
    "internal_error",
]
"""Why the service refused a request: the `code` of an `ApiError`."""


class TaskErrorCode(StrEnum):
    """Why a task failed or was cancelled: the `code` of `Task.error` and `Result.error`.

    A task type may have codes of its own, so that `code` is a plain string. Compare it with these.
    """

    TASK_ERROR = "task_error"
    INPUT_INVALID = "input_invalid"
    RESULT_INVALID = "result_invalid"
    RESULT_TOO_LARGE = "result_too_large"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    OUT_OF_STORAGE = "out_of_storage"
    CRASHED = "crashed"
    LOST = "lost"
    CANNOT_START = "cannot_start"
    TYPE_REMOVED = "type_removed"
    REJECTED = "rejected"
    JOB_DELETED = "job_deleted"
    CANCELLED = "cancelled"
