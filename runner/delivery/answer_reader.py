"""Reads an answer of HTTP/1.x as it arrives: its status first, then what can be read of the rest. Pure.

The status of an answer decides about a delivery, so nothing that follows it may cost it: a header that no parser
accepts, two lengths, a connection that breaks. HTTP libraries refuse such an answer as a whole, and a receiver that has
accepted an outcome would get it again and again.
"""

from __future__ import annotations

import re
from typing import Final

MAX_HEAD_BYTES: Final = 256 * 1024
"""How much is read of all heads together, those of interim answers (1xx) too."""
MAX_STATUS_BYTES: Final = 64
"""How much may come, blank lines aside, until a status is there."""
MAX_LINE_BYTES: Final = 4096
"""How much is kept of one header."""
MAX_BODY_BYTES: Final = 64 * 1024
SWITCHING_PROTOCOLS: Final = 101
WITHOUT_BODY: Final = frozenset({204, 304})

_STATUS: Final = re.compile(rb"HTTP/[0-9]+(?:\.[0-9]+)?[ \t]+([0-9]{3})(?![0-9])", re.IGNORECASE)
_KEPT: Final = frozenset(
    {
        "content-encoding",
        "content-length",
        "proxy-authenticate",
        "proxy-status",
        "retry-after",
        "transfer-encoding",
        "x-squid-error",
    }
)
_LAST_CHUNK: Final = b"0\r\n\r\n"


class AnswerReader:
    """Is fed the bytes of a connection. `status` is None until the status of the final answer has come.

    `interim` is the status of the last answer before it (1xx), `in_body` says that its head is over.
    `headers` are those that matter here, by names in lower case; of one that comes twice the first counts.
    `garbage` is the beginning of what came instead of an answer. `finished`: nothing more needs to be read.
    """

    def __init__(self) -> None:
        self.status: int | None = None
        self.interim: int | None = None
        self.headers: dict[str, str] = {}
        self.garbage = b""
        self.finished = False
        self.in_body = False
        self._buffer = bytearray()
        self._in_interim = False
        self._in_status_line = False
        self._searched = 0
        self._head_bytes = 0
        self._body = bytearray()

    def feed(self, data: bytes) -> None:
        """Take what has come next; nothing at all means that nothing more will come."""
        if self.finished:
            return
        if self.in_body:
            self._take_body(data)
            return
        self._head_bytes += len(data)
        self._buffer += data
        while not (self.finished or self.in_body) and self._step(ended=not data):
            pass
        if not self.in_body and (not data or self._head_bytes > MAX_HEAD_BYTES):
            self.finished = True

    @property
    def body(self) -> bytes:
        """What has come of the body, without the framing of chunks."""
        raw = bytes(self._body)
        return _without_chunks(raw) if self._is_chunked else raw

    @property
    def rest(self) -> bytes:
        """What has come after the head, as it came: of a proxy, which opens a tunnel, that is the other end's."""
        return bytes(self._body)

    @property
    def _is_chunked(self) -> bool:
        return "chunked" in self.headers.get("transfer-encoding", "").lower()

    def _step(self, *, ended: bool) -> bool:
        """Read one line, or a status; return whether there may be another."""
        if self.status is None and not self._in_interim:
            return self._read_status(ended=ended)
        end = self._buffer.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._buffer)
            return False
        line, self._searched = bytes(self._buffer[: min(end, MAX_LINE_BYTES)]).strip(), 0
        if (
            self.status is None and not self._in_status_line and _STATUS.match(line)
        ):  # an interim answer that no blank line ends
            self._in_interim = False
            return True
        del self._buffer[: end + 1]
        if self._in_status_line:  # what is left of it: the reason
            self._in_status_line = False
        elif line:
            self._take_header(line)
        elif self.status is None:
            self._in_interim = False
        else:
            self._begin_body()
        return True

    def _read_status(self, *, ended: bool) -> bool:
        blank = len(self._buffer) - len(self._buffer.lstrip())
        del self._buffer[:blank]
        found = _STATUS.match(self._buffer)
        if found is not None and (ended or found.end() < len(self._buffer)):  # else a digit may follow
            status = int(found[1])
            del self._buffer[: found.end()]
            self._in_status_line = True
            if status // 100 == 1 and status != SWITCHING_PROTOCOLS:
                self.interim, self._in_interim = status, True
            else:
                self.status, self.headers = status, {}
            return True
        if self._buffer and (ended or b"\n" in self._buffer or len(self._buffer) > MAX_STATUS_BYTES):
            self.garbage, self.finished = bytes(self._buffer[:MAX_STATUS_BYTES]), True
        return False

    def _take_header(self, line: bytes) -> None:
        name, colon, value = line.decode("latin-1").partition(":")
        name = name.strip().lower()
        if colon and name in _KEPT and self.status is not None:
            self.headers.setdefault(name, value.strip())

    def _begin_body(self) -> None:
        self.in_body = True
        rest, self._buffer = bytes(self._buffer), bytearray()
        if self.status in WITHOUT_BODY:
            self.finished = True
        else:
            self._take_body(rest, nothing_yet=True)

    def _take_body(self, data: bytes, *, nothing_yet: bool = False) -> None:
        self._body += data[: MAX_BODY_BYTES - len(self._body)]
        length = self.headers.get("content-length", "")
        whole = length.isascii() and length.isdecimal() and len(self._body) >= int(length[:20]) and not self._is_chunked
        last = self._is_chunked and (self._body == _LAST_CHUNK or self._body.endswith(b"\r\n" + _LAST_CHUNK))
        ended = not data and not nothing_yet
        self.finished = ended or whole or last or len(self._body) >= MAX_BODY_BYTES


def _without_chunks(raw: bytes) -> bytes:
    """Return the data of chunks as far as they can be read. RFC 9112, 7.1."""
    data, at = bytearray(), 0
    while (end := raw.find(b"\r\n", at)) >= 0:
        size = raw[at:end].partition(b";")[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", size) or int(size, 16) == 0:
            break
        data += raw[end + 2 : end + 2 + int(size, 16)]
        at = end + 4 + int(size, 16)
    return bytes(data)
