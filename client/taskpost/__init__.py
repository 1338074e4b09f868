"""Taskpost for Python programs: submit tasks, follow them, and verify the callbacks.

from taskpost import Client

with Client() as client:
    task = client.submit("fibonacci", {"n": 1000}).task
    client.wait(task.task_id)
    print(client.result(task.task_id).result)
"""

from taskpost.client import Client
from taskpost.deliveries import Deliveries, DeliverySummary, DeliveryTry
from taskpost.errors import (
    ApiError,
    Conflict,
    FieldError,
    InvalidTask,
    InvalidUrl,
    NotFound,
    TaskpostError,
    UnexpectedAnswer,
    Unreachable,
    WaitTimeout,
)
from taskpost.models import (
    Delivery,
    PastAttempt,
    Reason,
    Result,
    Submitted,
    Task,
    TaskSummary,
    TaskType,
)

__all__ = [
    "ApiError",
    "Client",
    "Conflict",
    "Deliveries",
    "Delivery",
    "DeliverySummary",
    "DeliveryTry",
    "FieldError",
    "InvalidTask",
    "InvalidUrl",
    "NotFound",
    "PastAttempt",
    "Reason",
    "Result",
    "Submitted",
    "Task",
    "TaskSummary",
    "TaskType",
    "TaskpostError",
    "UnexpectedAnswer",
    "Unreachable",
    "WaitTimeout",
]
