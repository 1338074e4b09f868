"""What a process writes: a file that is appended to, whose end is what matters and whose size is bounded."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

TAIL_BYTES: Final = 4096
MAX_BYTES: Final = 1024 * 1024


def tail(path: Path) -> str:
    """Return the end of what was written, or nothing if there is no such file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            return file.read(TAIL_BYTES).decode(errors="replace")
    except OSError:
        return ""


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
