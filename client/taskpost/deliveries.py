"""Answers of the service about callbacks, as frozen dataclasses with the service's own names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from taskpost.models import Delivery, read_time

if TYPE_CHECKING:
    from datetime import datetime

    from taskpost.codes import Sender, TaskStatus
    from taskpost.models import Json


@dataclass(frozen=True)
class DeliveryTry:
    """One delivery attempt."""

    at: datetime | None
    duration_seconds: float | None
    """How long it took; None if the service does not show answers."""
    by: Sender
    http_status: int | None
    """The status of the receiver's answer; None if there was none, or the service does not show it."""
    error: str | None
    """Why it failed; None if it succeeded."""

    @classmethod
    def from_json(cls, document: Json) -> DeliveryTry:
        """Read the service's answer."""
        return cls(
            at=read_time(document.get("at")),
            duration_seconds=document.get("duration_seconds"),
            by=document.get("by", "service"),
            http_status=document.get("http_status"),
            error=document.get("error"),
        )


@dataclass(frozen=True)
class Deliveries:
    """How far a task's callback is, and its delivery attempts."""

    delivery: Delivery
    last_answer: str | None
    """The beginning of the answer to the last attempt, if it had a body."""
    tries: tuple[DeliveryTry, ...]
    """The attempts in order; the newest 20 are kept."""
    raw: Json = field(repr=False, compare=False)
    """The whole answer of the service."""

    @classmethod
    def from_json(cls, document: Json) -> Deliveries:
        """Read the service's answer."""
        return cls(
            delivery=Delivery.from_json(document),
            last_answer=document.get("last_answer"),
            tries=tuple(DeliveryTry.from_json(made) for made in document["tries"]),
            raw=document,
        )


@dataclass(frozen=True)
class DeliverySummary:
    """A task in the list of deliveries."""

    task_id: str
    task_type: str
    task_status: TaskStatus
    finished_at: datetime | None
    delivery: Delivery
    result_url: str | None
    """As submitted; a password in it is masked."""
    raw: Json = field(repr=False, compare=False)
    """The service's answer for this task."""

    @classmethod
    def from_json(cls, document: Json) -> DeliverySummary:
        """Read the service's answer."""
        return cls(
            task_id=document["task_id"],
            task_type=document["task_type"],
            task_status=document["task_status"],
            finished_at=read_time(document.get("finished_at")),
            delivery=Delivery.from_json(document.get("delivery") or {}),
            result_url=document.get("result_url"),
            raw=document,
        )
