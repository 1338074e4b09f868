"""File locks (flock): they belong to an open file, not to a pid, and end with the last process that has it open."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def open_lock(path: Path) -> int:
    """Open a lock's file, readable by its owner only, and create it if missing. Children do not inherit it."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def try_lock(descriptor: int) -> bool:
    """Take the lock, or return False if somebody else holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_lock(descriptor: int) -> None:
    """Take the lock as soon as nobody else holds it."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def write(descriptor: int, text: str) -> None:
    """Overwrite the file with `text`, padded with spaces to its old length: that needs no space on a full disk."""
    os.pwrite(descriptor, text.encode().ljust(os.fstat(descriptor).st_size), 0)
