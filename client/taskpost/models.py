"""Answers of the service, as frozen dataclasses with the service's own names.

Fields that a newer service adds are ignored, and kept in `raw`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskpost.codes import DeliveryStatus, EndStatus, TaskStatus

    Json: TypeAlias = Mapping[str, Any]

ENDS: Final = frozenset({"done", "failed", "cancelled"})
"""The states that never change."""


@dataclass(frozen=True)
class Reason:
    """Why a task failed, or waits."""

    code: str
    """Stable, for programs. Of an error: one of `TaskErrorCode`, or one that the task type has of its own."""
    message: str
    """For people."""

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"

    @classmethod
    def from_json(cls, document: Json | None) -> Reason | None:
        """Read the service's answer."""
        return None if document is None else cls(document["code"], document.get("message", ""))


@dataclass(frozen=True)
class Delivery:
    """How far a task's callback is."""

    status: DeliveryStatus
    attempts: int
    """How many delivery attempts were made."""
    next_at: datetime | None
    """When the next attempt is due, if one is."""
    last_error: str | None
    """Why the last attempt that failed did; None if none failed."""

    @classmethod
    def from_json(cls, document: Json) -> Delivery:
        """Read the service's answer."""
        return cls(
            status=document.get("status", "none"),
            attempts=document.get("attempts", 0),
            next_at=read_time(document.get("next_at")),
            last_error=document.get("last_error"),
        )


@dataclass(frozen=True)
class PastAttempt:
    """An attempt that was lost, or failed, and was followed by another."""

    attempt: int
    """Its number, from 1."""
    ended_at: datetime | None
    reason: Reason | None
    """Why it was lost, or failed."""

    @classmethod
    def from_json(cls, document: Json) -> PastAttempt:
        """Read the service's answer."""
        return cls(document["attempt"], read_time(document.get("ended_at")), Reason.from_json(document.get("reason")))


@dataclass(frozen=True)
class Task:
    """A task as the service sees it."""

    task_id: str
    task_type: str
    task_status: TaskStatus
    task_percent_done: float
    """0 to 100; 100 exactly when the task is done."""
    queue_position: int | None
    """1 is next; None once the task has left the queue."""
    priority: int
    attempt: int
    """The number of the current attempt; 0 before the first."""
    created_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    waiting_reason: Reason | None
    """Why the task waits, if it does; None in the answer to `submit`."""
    error: Reason | None
    """Why the task failed or was cancelled, if it did."""
    delivery: Delivery
    result_url: str | None
    """As submitted; a password in it is masked."""
    raw: Json = field(repr=False, compare=False)
    """The whole answer of the service."""
    attempts: tuple[PastAttempt, ...] = ()
    """Earlier attempts, in order; the newest 20 are kept."""
    progress_message: str | None = None
    """The last message of the task about its progress."""

    @property
    def ended(self) -> bool:
        """Whether the task's state is final."""
        return self.task_status in ENDS

    @classmethod
    def from_json(cls, document: Json) -> Task:
        """Read the service's answer."""
        return cls(
            task_id=document["task_id"],
            task_type=document["task_type"],
            task_status=document["task_status"],
            task_percent_done=document.get("task_percent_done", 0),
            queue_position=document.get("queue_position"),
            priority=document.get("priority", 0),
            attempt=document.get("attempt", 0),
            created_at=read_time(document.get("created_at")),
            started_at=read_time(document.get("started_at")),
            finished_at=read_time(document.get("finished_at")),
            waiting_reason=Reason.from_json(document.get("waiting_reason")),
            error=Reason.from_json(document.get("error")),
            delivery=Delivery.from_json(document.get("delivery") or {}),
            result_url=document.get("result_url"),
            raw=document,
            attempts=tuple(PastAttempt.from_json(past) for past in document.get("attempts") or ()),
            progress_message=document.get("progress_message"),
        )


@dataclass(frozen=True)
class Submitted:
    """A task that the service accepted."""

    task: Task
    queue_position: int | None
    """1 is next; None if the task is not in the queue: a repeat may find it running."""
    raw: Json = field(repr=False, compare=False)
    """The whole answer of the service."""

    @classmethod
    def from_json(cls, document: Json) -> Submitted:
        """Read the service's answer."""
        return cls(Task.from_json(document["task"]), document.get("queue_position"), document)


@dataclass(frozen=True)
class TaskSummary:
    """A task in a list."""

    task_id: str
    task_type: str
    percent_done: float
    """0 to 100; 100 exactly when the task is done."""
    task_status: TaskStatus
    created_at: datetime | None
    finished_at: datetime | None
    queue_position: int | None
    """1 is next; None once the task has left the queue."""
    raw: Json = field(repr=False, compare=False)
    """The service's answer for this task."""

    @classmethod
    def from_json(cls, document: Json) -> TaskSummary:
        """Read the service's answer."""
        return cls(
            task_id=document["task_id"],
            task_type=document["task_type"],
            percent_done=document.get("percent_done", 0),
            task_status=document["task_status"],
            created_at=read_time(document.get("created_at")),
            finished_at=read_time(document.get("finished_at")),
            queue_position=document.get("queue_position"),
            raw=document,
        )


@dataclass(frozen=True)
class TaskType:
    """A computation that the service offers."""

    name: str
    description: str
    input_schema: Json
    """The JSON Schema of `task_input`."""
    example: Any
    """A valid `task_input`."""
    concurrency: int | None
    """How many attempts of this type run at a time; None: only the limit for all types holds."""
    max_timeout_seconds: float | None
    """The longest run time that may be asked for."""
    raw: Json = field(repr=False, compare=False)
    """The service's answer for this type."""

    @classmethod
    def from_json(cls, document: Json) -> TaskType:
        """Read the service's answer."""
        return cls(
            name=document["name"],
            description=document.get("description") or "",
            input_schema=document.get("input_schema") or {},
            example=document.get("example"),
            concurrency=document.get("concurrency"),
            max_timeout_seconds=document.get("max_timeout_seconds"),
            raw=document,
        )


@dataclass(frozen=True)
class Result:
    """How a task ended: the body of its callback, whether or not one was asked for."""

    task_id: str
    task_type: str
    status: EndStatus
    result: Any
    """What the task returned; None unless it is done."""
    error: Reason | None
    """Why the task failed or was cancelled; None if it is done."""
    attempt: int
    """The number of the attempt that ended it; 0 if none was made."""
    created_at: datetime | None
    started_at: datetime | None
    """None if it never ran."""
    finished_at: datetime | None
    body: bytes = field(repr=False, compare=False)
    """The very bytes that are signed and sent."""

    @classmethod
    def from_body(cls, body: bytes) -> Result:
        """Read the body of a callback.

        Raises:
            ValueError: it is not one.
        """
        try:
            return cls._from_json(json.loads(body), body)
        except (LookupError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError("this is not the body of a callback of Taskpost") from error

    @classmethod
    def _from_json(cls, document: Json, body: bytes) -> Result:
        return cls(
            task_id=document["task_id"],
            task_type=document["task_type"],
            status=document["status"],
            result=document.get("result"),
            error=Reason.from_json(document.get("error")),
            attempt=document.get("attempt", 0),
            created_at=read_time(document.get("created_at")),
            started_at=read_time(document.get("started_at")),
            finished_at=read_time(document.get("finished_at")),
            body=body,
        )


def read_time(text: str | None) -> datetime | None:
    """Read a time of the service."""
    return None if text is None else datetime.fromisoformat(text)
