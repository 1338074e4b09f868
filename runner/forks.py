"""Keeps the children that a task forks apart from the attempt: only the process that started it may report."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from typing import NoReturn

MOST_OF_EXIT_CODE = 0xFF


class OwnProcess:
    """The process in which this was made."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def is_current(self) -> bool:
        """Return whether the caller runs in that process, and not in a child forked from it."""
        return os.getpid() == self._pid

    def end_others(self, error: BaseException | None = None) -> None:
        """End a forked child as Python would at the end of its program: with the code of `error`, or 0.

        Does nothing in the process itself.
        """
        if not self.is_current():
            _end(error)


def _end(error: BaseException | None) -> NoReturn:
    exit_code = 1
    with suppress(BaseException):
        exit_code = _exit_code(error)
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(exit_code)  # no atexit functions: those are the parent's


def _exit_code(error: BaseException | None) -> int:
    if error is None:
        return 0
    if not isinstance(error, SystemExit):
        traceback.print_exception(error)
        return 1
    if error.code is None or isinstance(error.code, int):
        return int(error.code or 0) & MOST_OF_EXIT_CODE
    sys.stderr.write(f"{error.code}\n")
    return 1
