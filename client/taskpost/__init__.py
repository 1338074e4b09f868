"""Taskpost for Python programs: submit tasks, follow them, and verify the callbacks.

from taskpost import Client

with Client() as client:
    print(client.run("fibonacci", {"n": 1000}).result)
"""

from taskpost.client import Client
from taskpost.codes import (
    DeliveryStatus,
    EndStatus,
    ErrorCode,
    ListedDeliveries,
    Sender,
    TaskErrorCode,
    TaskStatus,
)
from taskpost.deliveries import Deliveries, DeliverySummary, DeliveryTry
from taskpost.errors import (
    ApiError,
    Conflict,
    EnvironmentInvalidError,
    FieldError,
    InvalidTask,
    InvalidUrl,
    NotFound,
    TaskFailedError,
    TaskpostError,
    UnexpectedAnswer,
    Unreachable,
    WaitTimeout,
)
from taskpost.logs import AttemptLog, TaskLog
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
    "AttemptLog",
    "Client",
    "Conflict",
    "Deliveries",
    "Delivery",
    "DeliveryStatus",
    "DeliverySummary",
    "DeliveryTry",
    "EndStatus",
    "EnvironmentInvalidError",
    "ErrorCode",
    "FieldError",
    "InvalidTask",
    "InvalidUrl",
    "ListedDeliveries",
    "NotFound",
    "PastAttempt",
    "Reason",
    "Result",
    "Sender",
    "Submitted",
    "Task",
    "TaskErrorCode",
    "TaskFailedError",
    "TaskLog",
    "TaskStatus",
    "TaskSummary",
    "TaskType",
    "TaskpostError",
    "UnexpectedAnswer",
    "Unreachable",
    "WaitTimeout",
]
