"""What can go wrong between a program and the service."""
# ruff: noqa: N818 - the names say what is wrong, and all of it is an error

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskpost.models import Task


class TaskpostError(Exception):
    """The base of every error of this library."""


class InvalidUrl(TaskpostError):
    """The service's URL is not one."""


class Unreachable(TaskpostError):
    """No answer came from the service's URL."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url = url
        self.reason = reason

    def __str__(self) -> str:
        return f"No Taskpost service answers at {self.url} ({self.reason})."


class UnexpectedAnswer(TaskpostError):
    """Something answered, but not as a Taskpost service does."""


class WaitTimeout(TaskpostError):
    """The time to wait is over and a task has not ended. It goes on without us."""

    def __init__(self, waiting: Mapping[str, Task | None], timeout_seconds: float) -> None:
        super().__init__(waiting, timeout_seconds)
        self.waiting = waiting
        """The tasks that have not ended, as they were last seen, if ever."""
        self.timeout_seconds = timeout_seconds

    def __str__(self) -> str:
        states = ", ".join(
            f"task {task_id} is {task.task_status if task else 'in a state not seen'}"
            for task_id, task in self.waiting.items()
        )
        return f"Gave up waiting after {self.timeout_seconds:g} s: {states}."


@dataclass(frozen=True)
class FieldError:
    """One thing wrong in what was sent, and where: `pointer` is a JSON pointer into the body."""

    pointer: str
    detail: str


class ApiError(TaskpostError):
    """The service answered with a problem (RFC 9457)."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: tuple[FieldError, ...] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(status, code, detail, errors, retry_after_seconds)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return "\n".join([self.detail, *(f"  {error.pointer or '/'}: {error.detail}" for error in self.errors)])


class InvalidTask(ApiError):
    """400: the service refuses what was sent; `errors` says what and where."""


class NotFound(ApiError):
    """404: there is no such task."""


class Conflict(ApiError):
    """409: not in the task's present state, or not with that idempotency key."""
