"""How the body of a request is delimited: by its length, or in chunks. Pure: bytes in, bytes and what follows out."""

from __future__ import annotations

import re
from typing import Final, Protocol

MAX_CHUNK_LINE_BYTES: Final = 1024
MAX_TRAILER_BYTES: Final = 8 * 1024
MAX_CHUNK_OVERHEAD_BYTES: Final = 8 * 1024 * 1024
LINES_AT_ONCE: Final = 512
"""Lines of chunks that are read in one turn of the event loop: 64 KiB of the smallest ones take ten milliseconds."""

_CHUNK_LINE: Final = re.compile(rb"0*([0-9A-Fa-f]{1,8})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+:[\t\x20-\x7e\x80-\xff]*")
_END: Final = -1
_BREAK: Final = b"\r\n"


class InvalidChunksError(ValueError):
    """The body is not valid chunked coding, or exceeds a limit."""


class MessageBody(Protocol):
    """A body that is being read."""

    pending: bytes
    """Data that is not read yet, because reading all of it at once would take too long."""

    def feed(self, data: bytes, into: bytearray) -> bytes | None:
        """Append the body bytes of `data` to `into`; return what follows the message, or None if it is not complete.

        Raises:
            InvalidChunksError: see there.
        """


class SizedBody:
    """A body of an announced length."""

    __slots__ = ("_left", "pending")

    def __init__(self, length: int) -> None:
        self._left = length
        self.pending = b""

    def feed(self, data: bytes, into: bytearray) -> bytes | None:
        """See `MessageBody`."""
        if len(data) < self._left:
            self._left -= len(data)
            into += data
            return None
        into += data[: self._left]
        rest, self._left = data[self._left :], 0
        return rest


class ChunkedBody:
    """A body in chunks (RFC 9112, 7.1): extensions and trailers are read, bounded and dropped."""

    __slots__ = ("_data_left", "_kept", "_overhead", "_trailer_bytes", "pending")

    def __init__(self) -> None:
        self.pending = b""
        self._kept = b""
        """The beginning of a line whose end has not come."""
        self._data_left: int | None = None
        """Bytes of the chunk that have not come; None between chunks."""
        self._trailer_bytes = _END
        """Bytes of trailers so far, once the last chunk has come."""
        self._overhead = 0

    def feed(self, data: bytes, into: bytearray) -> bytes | None:
        """See `MessageBody`."""
        position, lines = 0, 0
        if self._kept:
            data, self._kept = self._kept + data, b""
        while position < len(data):
            if lines == LINES_AT_ONCE:
                self.pending = data[position:]
                return None
            if self._data_left:
                taken = min(self._data_left, len(data) - position)
                into += data[position : position + taken]
                position += taken
                self._data_left -= taken
                continue
            line, following = self._line(data, position)
            if line is None:
                return None
            position, lines = following, lines + 1
            if self._take(line):
                return data[position:]
        return None

    def _line(self, data: bytes, position: int) -> tuple[bytes | None, int]:
        end = data.find(_BREAK, position, position + MAX_CHUNK_LINE_BYTES)
        if end < 0:
            if len(data) - position >= MAX_CHUNK_LINE_BYTES:
                raise InvalidChunksError(f"a line of its chunks has more than {MAX_CHUNK_LINE_BYTES} bytes")
            self._kept = data[position:]
            if b"\n" in self._kept:
                raise InvalidChunksError("a line of its chunks does not end with CR LF")
            return None, position
        return data[position:end], end + len(_BREAK)

    def _take(self, line: bytes) -> bool:
        """Take a line: of a chunk's size, after a chunk, or of the trailers. Return whether it ends the message."""
        if self._trailer_bytes != _END:
            return self._take_trailer(line)
        self._overhead += len(line) + len(_BREAK)
        if self._overhead > MAX_CHUNK_OVERHEAD_BYTES:
            raise InvalidChunksError("its chunks are too small")
        if self._data_left == 0:
            if line:
                raise InvalidChunksError("a chunk is longer than it says")
            self._data_left = None
            return False
        size = _CHUNK_LINE.fullmatch(line)
        if size is None:
            raise InvalidChunksError("the size of a chunk is not a hexadecimal number of up to 8 digits")
        self._data_left = int(size[1], 16)
        if self._data_left == 0:
            self._trailer_bytes = 0
        return False

    def _take_trailer(self, line: bytes) -> bool:
        if not line:
            return True
        self._trailer_bytes += len(line) + len(_BREAK)
        if self._trailer_bytes > MAX_TRAILER_BYTES:
            raise InvalidChunksError(f"its trailers have more than {MAX_TRAILER_BYTES} bytes")
        if not _TRAILER.fullmatch(line):
            raise InvalidChunksError("a trailer is not a header")
        return False
