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

    What is written in the very moment of the cut may be lost: the price of needing no process that must outlive us.
    """
    try:
        if path.stat().st_size <= MAX_BYTES:
            return
        end = tail(path)
        with path.open("ab") as file:
            file.truncate(0)
            file.write(end.encode())
    except OSError:
        return
