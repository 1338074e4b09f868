"""Where in a task's own code an exception was raised, in the form `acme/tasks.py, line 12`.

The innermost frame is often in a library. What an author looks for is the last line of their own code before it.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from runner.texts import bounded

if TYPE_CHECKING:
    from types import TracebackType

MAX_FILE_CHARACTERS: Final = 160
_RUNNER: Final = os.path.dirname(__file__) + os.sep  # noqa: PTH120 - `pathlib` is not imported at each start for this
_STANDARD_LIBRARY: Final = os.path.dirname(os.__file__) + os.sep  # noqa: PTH120
_INSTALLED: Final = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))


def place_of(trace: TracebackType | None) -> str:
    """Return file and line of the innermost frame of the task's own code; "" if there is none.

    The task's own code is whatever is not of the runner, the standard library or an installed package. If all of it is
    installed, as in most images, it is the package that the runner called.
    """
    with suppress(BaseException):  # file names and `sys.path` are what the task's code has made of them
        frames = [(_package(file), file, line) for file, line in _frames(trace) if not file.startswith((_RUNNER, "<"))]
        frames = [frame for frame in frames if frame[0] or not frame[1].startswith(_STANDARD_LIBRARY)]
        packages = [package for package, _, _ in frames]
        if frames:
            own = "" if "" in packages else packages[0]
            file, line = [(file, line) for package, file, line in frames if package == own][-1]
            return f"{bounded(_short(file), MAX_FILE_CHARACTERS)}, line {line}"
    return ""


def own_part(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback without the frames of the runner and of the import system that it begins with."""
    rest = trace
    with suppress(BaseException):
        while rest is not None and _is_before_the_task(rest.tb_frame.f_code.co_filename):
            rest = rest.tb_next
    return rest or trace


def _is_before_the_task(file: str) -> bool:
    return file.startswith((_RUNNER, "<frozen importlib", os.path.join(_STANDARD_LIBRARY, "importlib")))  # noqa: PTH118


def _frames(trace: TracebackType | None) -> list[tuple[str, int]]:
    frames = []
    while trace is not None:
        frames.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    return frames


def _package(file: str) -> str:
    """Return the directory or file of the installed package that a file belongs to, or "" for any other file."""
    for directory in _INSTALLED:
        head, found, rest = file.rpartition(directory)
        if found:
            return head + found + rest.split(os.sep, 1)[0]
    return ""


def _short(file: str) -> str:
    """Return a file's path from the directory that it was imported from, else its name alone."""
    directories = [entry.rstrip(os.sep) + os.sep for entry in sys.path if isinstance(entry, str) and entry]
    known = [directory for directory in directories if file.startswith(directory)]
    return file[len(max(known, key=len)) :] if known else os.path.basename(file)  # noqa: PTH119
