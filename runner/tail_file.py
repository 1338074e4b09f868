"""A file with the end of what was written: never longer than a bound, however much and however fast that is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

KEPT_BYTES: Final = 64 * 1024
MAX_FILE_BYTES: Final = 2 * KEPT_BYTES
"""The file is appended to until it has this size; then it is rewritten with its end, longer than `KEPT_BYTES`."""
_HELD_BYTES: Final = KEPT_BYTES + 1
"""One byte more is held than is shown: it proves that more was written."""
LONGEST_LINE_CUT: Final = 4096
"""An end begins with a whole line, if one begins within so many bytes."""
_FIRST_CONTINUATION, _LAST_CONTINUATION = 0x80, 0xBF
"""The bytes of UTF-8 that begin no character."""


def from_line_start(end: bytes) -> bytes:
    """Return the end of an output from the first line on that begins in it, else from the first character on."""
    line_end = end.find(b"\n", 0, LONGEST_LINE_CUT)
    if 0 <= line_end < len(end) - 1:
        return end[line_end + 1 :]
    start = 0
    while start < min(len(end), 3) and _FIRST_CONTINUATION <= end[start] <= _LAST_CONTINUATION:
        start += 1
    return end[start:]


class TailFile:
    """Keeps the end in memory, and in the file after each `flush`. The file has no other writer."""

    def __init__(self, path: Path | str) -> None:
        self._path = path
        self._tail = bytearray()
        self._unwritten = 0
        self._file_bytes: int | None = None

    @property
    def is_flushed(self) -> bool:
        """Whether the file has everything that must be kept."""
        return self._unwritten == 0

    def write(self, data: bytes) -> None:
        """Add to the end. Nothing is on disk before `flush`."""
        self._tail += data
        self._unwritten += len(data)
        del self._tail[:-_HELD_BYTES]

    def flush(self) -> bool:
        """Write what is not in the file yet; False if that is not possible now, for example on a full disk."""
        if self._unwritten == 0:
            return True
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            self._write_to(descriptor)
        except OSError:
            self._file_bytes = None
            return False
        finally:
            os.close(descriptor)
        self._unwritten = 0
        return True

    def _write_to(self, descriptor: int) -> None:
        appends = self._file_bytes is not None and self._unwritten <= len(self._tail)
        if appends and self._file_bytes + self._unwritten <= MAX_FILE_BYTES:  # type: ignore[operator]
            start, data = self._file_bytes or 0, bytes(self._tail[-self._unwritten :])
        else:
            start, data = 0, bytes(self._tail)
        written = os.pwrite(descriptor, data, start)
        if written < len(data):
            raise OSError("the disk is full")
        self._file_bytes = start + written
        os.ftruncate(descriptor, self._file_bytes)
