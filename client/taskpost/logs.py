"""What the attempts of a task have written, as frozen dataclasses with the service's own names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskpost.codes import TaskStatus
    from taskpost.models import Json


@dataclass(frozen=True)
class AttemptLog:
    """The end of what one attempt wrote to its standard output and standard error."""

    attempt: int
    output: str
    """As it was written: it may contain control characters, which a terminal obeys."""
    truncated: bool
    """Whether more was written before it."""
    complete: bool
    """False while the attempt may write more."""
    note: str | None
    """Why the output is missing, or not whole."""

    @classmethod
    def from_json(cls, document: Json) -> AttemptLog:
        """Read the service's answer."""
        return cls(
            attempt=document["attempt"],
            output=document["output"],
            truncated=bool(document.get("truncated")),
            complete=bool(document.get("complete", True)),
            note=document.get("note"),
        )


@dataclass(frozen=True)
class TaskLog:
    """The logs of a task's attempts, the newest last. Earlier ones that wrote nothing are left out."""

    task_id: str
    task_type: str
    task_status: TaskStatus
    attempts: tuple[AttemptLog, ...]
    raw: Json = field(repr=False, compare=False)

    @property
    def complete(self) -> bool:
        """Whether all of these logs are complete."""
        return all(attempt.complete for attempt in self.attempts)

    @classmethod
    def from_json(cls, document: Json) -> TaskLog:
        """Read the service's answer."""
        return cls(
            task_id=document["task_id"],
            task_type=document["task_type"],
            task_status=document["task_status"],
            attempts=tuple(AttemptLog.from_json(attempt) for attempt in document["attempts"]),
            raw=document,
        )
