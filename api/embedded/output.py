"""What a process writes: a file that is appended to, whose end is what matters and whose size is bounded."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

TAIL_BYTES: Final = 4096
MAX_BYTES: Final = 1024 * 1024


def tail(path: Path) -> str:
    """Return the end of what was written, or nothing if there is no such file."""
    return read_end(path, TAIL_BYTES).decode(errors="replace")


def read_end(path: Path, max_bytes: int) -> bytes:
    """Return the last bytes of a file, or nothing if there is no such file.

    What wrote it may have put something else in its place: no link is followed, and no writer of a pipe is waited for.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return b""
        return os.pread(descriptor, max_bytes, max(0, status.st_size - max_bytes))
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def trim(path: Path) -> None:
    """Cut a file that has grown too large down to its end. Its writers append, so they write on behind it.

    The end is written over the beginning, which needs no space: the disk may be full. What is written in the very
    moment of the cut may be lost.
    """
    try:
        if path.stat().st_size <= MAX_BYTES:
            return
        with path.open("r+b") as file:
            file.seek(-TAIL_BYTES, os.SEEK_END)
            end = file.read(TAIL_BYTES)
            file.seek(0)
            file.write(end)
            file.truncate()
    except OSError:
        return
