"""The head of a request, read and checked: pure functions from bytes to a `RequestHead`, or a `Problem`.

llhttp (httptools) checks the syntax. It is lenient where a mistake would be dangerous: versions, `Host`, codings that
are not read here, and which of two lengths counts. Those rules are here, and there is one place for each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import httptools

from api.web.problems import Code, Problem

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_HEADERS: Final = 100
MAX_LENGTH_DIGITS: Final = 20
"""As many as llhttp reads into its number, zeros in front included: Python refuses to read thousands of them."""
END_OF_HEAD: Final = b"\r\n\r\n"

_REQUEST_LINE: Final = re.compile(rb"[A-Z-]+ (\S+) HTTP/1\.([01])\r\n")
_BEGINNING: Final = re.compile(rb"[A-Z-]{1,20}(?: |$)")
_BARE_NEWLINE: Final = re.compile(rb"(?<!\r)\n")
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?#]*)(.*)", re.DOTALL)
_HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]*)(?::[0-9]{0,5})?")
_TOKENS: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?:[ \t]*,[ \t]*[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")
_SINGLE: Final = frozenset((b"keep-alive", b"close", b"chunked"))
_NONE: Final[list[bytes]] = []
_DECISIVE: Final = frozenset((b"host", b"connection", b"content-length", b"transfer-encoding", b"expect"))


@dataclass(slots=True)  # Not frozen: that would cost every request a microsecond.
class RequestHead:
    """The request line and headers of a request. `length` is that of the body; None: it comes in chunks."""

    method: str
    path: bytes
    query: bytes
    version: str
    headers: list[tuple[bytes, bytes]]
    length: int | None
    keep_alive: bool
    expects_continue: bool


class _Collector:
    """The callbacks of httptools. Names of headers are in lower case, as ASGI requires."""

    __slots__ = ("complete", "headers")

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.rstrip(b" \t")))  # llhttp leaves the spaces behind a value in it

    def on_headers_complete(self) -> None:
        self.complete = True


def read_head(raw: bytes) -> RequestHead:
    """Return the head of a request; `raw` ends with the empty line.

    Raises:
        Problem: 400 for what is not HTTP/1.1 or HTTP/1.0, 431 for too many headers, 501 for a coding of the body.
    """
    line = _REQUEST_LINE.match(raw)
    if line is None:
        raise _invalid("the request line must be a method, a target and HTTP/1.1 or HTTP/1.0")
    collector = _Collector()
    parser = httptools.HttpRequestParser(collector)
    fault: httptools.HttpParserError | None = None
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # Nothing is spoken here but HTTP/1: a request to switch is a request without it (RFC 9110, 7.8).
    except httptools.HttpParserError as error:
        fault = error
    if not collector.complete:
        raise _invalid("its head cannot be read")
    headers = collector.headers
    if len(headers) > MAX_HEADERS:
        raise Problem(
            431, Code.HEAD_TOO_LARGE, f"The request has {len(headers)} headers; up to {MAX_HEADERS} are read."
        )
    version = "1.1" if line[2] == b"1" else "1.0"
    decisive: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name in _DECISIVE:
            decisive.setdefault(name, []).append(value)
    length = _length(decisive, version)
    if fault is not None:
        raise _invalid("its head cannot be read")
    host = _host(decisive.get(b"host", _NONE), version)
    method = parser.get_method()
    path, query = _target(line[1], method, headers, host)
    return RequestHead(
        method.decode(),
        path,
        query,
        version,
        headers,
        length,
        keep_alive=version == "1.1" and b"close" not in _list(decisive.get(b"connection", _NONE)),
        expects_continue=version == "1.1" and b"100-continue" in _list(decisive.get(b"expect", _NONE)),
    )


def check_beginning(raw: bytearray, position: int) -> None:
    """Check an incomplete head from `position` on: one that can never become valid is refused at once.

    Raises:
        Problem: 400.
    """
    if position == 0 and not (_REQUEST_LINE.match(raw) if b"\r\n" in raw else _BEGINNING.match(raw)):
        raise _invalid("the request line must be a method, a target and HTTP/1.1 or HTTP/1.0")
    if _BARE_NEWLINE.search(raw, position):
        raise _invalid("its lines must end with CR LF")


def _length(decisive: dict[bytes, list[bytes]], version: str) -> int | None:
    """Return the length that is announced, 0 without a body, or None for chunks."""
    lengths, codings = decisive.get(b"content-length", _NONE), decisive.get(b"transfer-encoding", _NONE)
    if codings:
        names = _list(codings)
        if version == "1.0" or lengths or names.count(b"chunked") != 1 or names[-1] != b"chunked":
            raise _invalid("the length of its body is not clear from Content-Length and Transfer-Encoding")
        if len(names) > 1:
            detail = f"The body is coded as {b', '.join(names).decode()}; only `Transfer-Encoding: chunked` is read."
            raise Problem(501, Code.UNSUPPORTED_CODING, detail[:500])
        return None
    if not lengths:
        return 0
    if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > MAX_LENGTH_DIGITS:
        raise _invalid("its Content-Length is not one number")
    return int(lengths[0])


def _host(hosts: list[bytes], version: str) -> bytes:
    if len(hosts) > 1 or (version == "1.1" and not hosts):
        raise _invalid("it must have one header Host")
    if not hosts:
        return b""
    if not _HOST.fullmatch(hosts[0]):
        raise _invalid("its header Host is not a name or an address with an optional port")
    return hosts[0]


def _target(target: bytes, method: bytes, headers: list[tuple[bytes, bytes]], host: bytes) -> tuple[bytes, bytes]:
    """Return path and query. A target with a host of its own replaces the header Host (RFC 9112, 3.2.2)."""
    if not target.startswith(b"/"):
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is not None:
            authority, target = absolute.groups()
            if not authority or not _HOST.fullmatch(authority):
                raise _invalid("the host of its target is not a name or an address with an optional port")
            if authority != host:
                headers[:] = [field for field in headers if field[0] != b"host"] + [(b"host", authority)]
            target = target if target.startswith(b"/") else b"/" + target
        elif (target, method) != (b"*", b"OPTIONS"):
            raise _invalid("its target must be a path or an http URL")
    if b"#" in target:
        target = target.partition(b"#")[0]
    path, _, query = target.partition(b"?")
    return path, query


def _list(values: list[bytes]) -> list[bytes]:
    """Return the members of a header that is a list; [b""] if it is not one."""
    if not values:
        return []
    if len(values) == 1 and values[0] in _SINGLE:
        return values
    joined = b", ".join(values).lower()
    return [part.strip(b" \t") for part in joined.split(b",")] if _TOKENS.fullmatch(joined) else [b""]


def _invalid(what: str) -> Problem:
    return Problem(400, Code.INVALID_HTTP, f"This is not a request of HTTP/1.1 or HTTP/1.0 that can be read: {what}.")
