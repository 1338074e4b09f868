"""Exit codes, and what is said with them."""

from __future__ import annotations

from enum import IntEnum

import click

from taskpost.cli.output import printable
from taskpost.errors import ApiError, InvalidTask, InvalidUrl, TaskpostError, Unreachable, WaitTimeout


class ExitCode(IntEnum):
    """How `taskpost` ends."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    CANCELLED = 4
    GAVE_UP_WAITING = 5
    INTERRUPTED = 130


ENDS = {"done": ExitCode.OK, "cancelled": ExitCode.CANCELLED}
"""What the end of a task means for us, where it is not a failure."""


class Failure(click.ClickException):
    """A message on stderr, with further lines, and an exit code. What is said in one line cannot begin another."""

    def __init__(self, message: str, exit_code: ExitCode, *lines: str) -> None:
        super().__init__("\n".join(map(printable, (message, *lines))))
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it of the instance


def failure(error: TaskpostError) -> Failure:
    """Return what an error of the library means on the command line."""
    message = str(error)
    match error:
        case Unreachable():
            hint = "`taskpost serve` starts a service; --url or TASKPOST_URL names another."
            return Failure(message, ExitCode.UNREACHABLE, hint)
        case WaitTimeout():
            return Failure(message, ExitCode.GAVE_UP_WAITING)
        case InvalidUrl():
            return Failure(message, ExitCode.USAGE)
        case ApiError(detail=detail, errors=errors, retry_after_seconds=seconds):
            listed = [f"  {one.pointer or '/'}: {one.detail}" for one in errors]
            hints = [] if seconds is None else [f"Try again in {seconds:g} s."]
            code = ExitCode.USAGE if isinstance(error, InvalidTask) else ExitCode.FAILED
            return Failure(detail, code, *listed, *hints)
    return Failure(message, ExitCode.FAILED)
