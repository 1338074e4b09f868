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
    """A message on stderr, and an exit code."""

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(printable(message))
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it of the instance


def failure(error: TaskpostError) -> Failure:
    """Return what an error of the library means on the command line."""
    message = str(error)
    match error:
        case Unreachable():
            return Failure(
                f"{message}\n`taskpost serve` starts a service; --url or TASKPOST_URL names another.",
                ExitCode.UNREACHABLE,
            )
        case WaitTimeout():
            return Failure(message, ExitCode.GAVE_UP_WAITING)
        case InvalidTask() | InvalidUrl():
            return Failure(message, ExitCode.USAGE)
        case ApiError(retry_after_seconds=float(seconds)):
            return Failure(f"{message}\nTry again in {seconds:g} s.", ExitCode.FAILED)
    return Failure(message, ExitCode.FAILED)
