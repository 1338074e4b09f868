"""The output file of a process: reads its end, and bounds its size."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

TAIL_BYTES: Final = 4096
MAX_BYTES: Final = 1024 * 1024


def tail(path: Path) -> str:
    """Return the last 4 KiB of a file as text; empty if it cannot be read."""
    return read_end(path, TAIL_BYTES).decode(errors="replace")


def read_end(path: Path, max_bytes: int) -> bytes:
    """Return the last `max_bytes` of a file; empty if it does not exist or is not a regular file.

    The process may have replaced its file: this follows no symbolic link and never waits for the writer of a pipe.
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
    """Cut a file of more than `MAX_BYTES` to its last `TAIL_BYTES`. Its writers append, so they continue after them.

    Copies the end over the beginning, which works on a full disk too. Output written during the cut may be lost.
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
