"""Exit codes, and what is said with them."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import click

from taskpost.cli.output import printable
from taskpost.errors import (
    ApiError,
    EnvironmentInvalidError,
    InvalidTask,
    InvalidUrl,
    TaskpostError,
    Unreachable,
    WaitTimeout,
)


class ExitCode(IntEnum):
    """How `taskpost` ends."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    CANCELLED = 4
    GAVE_UP_WAITING = 5
    INTERRUPTED = 130
    TERMINATED = 143


ENDS = {"done": ExitCode.OK, "cancelled": ExitCode.CANCELLED}
"""What the end of a task means for us, where it is not a failure."""


class Failure(click.ClickException):
    """A message on stderr, with further lines, and an exit code. What is said in one line cannot begin another.

    `code` and `errors` are for programs: they are in the JSON that `--json` prints.
    """

    def __init__(
        self, message: str, exit_code: ExitCode, *lines: str, code: str | None = None, errors: tuple[Any, ...] = ()
    ) -> None:
        super().__init__("\n".join(map(printable, (message, *lines))))
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it of the instance
        self.code = code or exit_code.name.lower()
        self.first_line = message
        self.errors = errors


def failure(error: TaskpostError) -> Failure:
    """Return what an error of the library means on the command line."""
    message = str(error)
    match error:
        case Unreachable():
            hint = "`taskpost serve` starts a service; --url or TASKPOST_URL names another."
            return Failure(message, ExitCode.UNREACHABLE, hint)
        case WaitTimeout():
            return Failure(message, ExitCode.GAVE_UP_WAITING)
        case InvalidUrl() | EnvironmentInvalidError():
            return Failure(message, ExitCode.USAGE)
        case ApiError(detail=detail, errors=errors, retry_after_seconds=seconds):
            listed = [f"  {one.pointer or '/'}: {one.detail}" for one in errors]
            again = [] if seconds is None else [f"Try again in {seconds:g} s."]
            code = ExitCode.USAGE if isinstance(error, InvalidTask) else ExitCode.FAILED
            details = tuple({"pointer": one.pointer, "detail": one.detail} for one in errors)
            return Failure(detail, code, *listed, *again, code=error.code, errors=details)
    return Failure(message, ExitCode.FAILED)


def error_document(fault: click.ClickException) -> dict[str, Any]:
    """Return the form that every fault has in JSON: a code and a message, like a task's `error`."""
    if not isinstance(fault, Failure):
        return {"error": {"code": "usage", "message": fault.format_message()}}
    listed = {"errors": list(fault.errors)} if fault.errors else {}
    return {"error": {"code": fault.code, "message": fault.first_line} | listed}
