"""What can go wrong between a program and the service."""
# ruff: noqa: N818 - the names say what is wrong, and all of it is an error

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskpost.codes import ErrorCode
    from taskpost.models import Result, Task


class TaskpostError(Exception):
    """The base of every error of this library."""


class InvalidUrl(TaskpostError):
    """The service's URL is not an absolute http or https URL."""


class EnvironmentInvalidError(TaskpostError):
    """A proxy or a certificate that the environment names cannot be used."""


class Unreachable(TaskpostError):
    """No answer came from the service's URL: `url`, for the `reason`."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url = url
        self.reason = reason

    def __str__(self) -> str:
        return f"No Taskpost service answers at {self.url} ({self.reason})."


class UnexpectedAnswer(TaskpostError):
    """Something answered, but not as a Taskpost service does."""


class WaitTimeout(TaskpostError):
    """The time to wait is over and a task has not ended. It goes on.

    `waiting` has the tasks that have not ended by their ids, as they were last seen, or None.
    """

    def __init__(self, waiting: Mapping[str, Task | None], timeout_seconds: float) -> None:
        super().__init__(waiting, timeout_seconds)
        self.waiting = waiting
        self.timeout_seconds = timeout_seconds

    def __str__(self) -> str:
        states = ", ".join(
            f"task {task_id} is {task.task_status if task else 'in a state not seen'}"
            for task_id, task in self.waiting.items()
        )
        return f"Gave up waiting after {self.timeout_seconds:g} s: {states}."


class TaskFailedError(TaskpostError):
    """The task of `Client.run` failed or was cancelled: `outcome` has its status and its error."""

    def __init__(self, outcome: Result) -> None:
        super().__init__(outcome)
        self.outcome = outcome

    def __str__(self) -> str:
        how = "was cancelled" if self.outcome.status == "cancelled" else self.outcome.status
        return f"Task {self.outcome.task_id} {how}: {self.outcome.error or 'no reason given'}"


@dataclass(frozen=True)
class FieldError:
    """One thing that is wrong in what was sent: `pointer` is a JSON pointer into the body, `detail` says what."""

    pointer: str
    detail: str


class ApiError(TaskpostError):
    """The service refused a request, with a problem by RFC 9457.

    `status` is that of HTTP, `code` is stable, `detail` is for people, `errors` lists what is wrong in the request, and
    `retry_after_seconds` says when to try again, if the service did. The `code` of an answer that is not a Taskpost
    service's, a proxy's for example, is `http_` and the status.
    """

    def __init__(
        self,
        status: int,
        code: ErrorCode,
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
    """400: the service refuses what was sent; `errors` says what is wrong, and where."""


class NotFound(ApiError):
    """404: there is no such task."""


class Conflict(ApiError):
    """409: not in the task's present state, or not with that idempotency key."""
