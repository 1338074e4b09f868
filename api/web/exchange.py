"""Turns a request into an ASGI scope, runs the application, and answers requests that cannot be read."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import unquote

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from api.web.guard import REFUSAL
from api.web.problems import MEDIA_TYPE, Problem, body_of
from api.web.representation import json_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn.protocols.http.flow_control import FlowControl

    from api.web.request_head import RequestHead

LEAST_UNREAD_RATE: Final = 8 * 1024
"""Minimum bytes a second that a client must read while an answer waits for it."""

_logger = logging.getLogger("uvicorn.error")


class Outlet(Protocol):
    """The part of a transport that a cycle of request and answer uses."""

    def write(self, data: bytes) -> None:
        """Send."""

    def close(self) -> None:
        """Close after what was sent."""

    def is_closing(self) -> bool:
        """Return whether nothing more is sent."""


class ReadingRate:
    """Measures how fast a client reads an answer, by the bytes that wait to be sent (`unread_bytes`)."""

    __slots__ = ("_unread", "_unread_bytes")

    def __init__(self, unread_bytes: Callable[[], int]) -> None:
        self._unread_bytes = unread_bytes
        self._unread = 0

    def begin(self) -> None:
        """Measure from now on."""
        self._unread = self._unread_bytes()

    def is_enough(self, seconds: float) -> bool:
        """Return whether the client has read enough in the `seconds` since the last call or the beginning."""
        before, self._unread = self._unread, self._unread_bytes()
        return before - self._unread >= LEAST_UNREAD_RATE * seconds


class AnswerWriter:
    """Sends the head of an answer together with the beginning of its body: one system call less for each answer."""

    __slots__ = ("_head", "_write")

    JOINED_BYTES: Final = 64 * 1024
    """A larger beginning is not copied."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._head: bytes | None = None

    def begin(self) -> None:
        """Take what is written next for the head of an answer."""
        self._head = b""

    def write(self, data: bytes) -> None:
        """Send, unless it is a head: that waits for what is written next."""
        if self._head == b"":
            self._head = data
        elif self._head and len(data) <= self.JOINED_BYTES:
            head, self._head = self._head, None
            self._write(head + data)
        else:
            self.flush()
            self._write(data)

    def flush(self) -> None:
        """Send a head that waits."""
        head, self._head = self._head, None
        if head:
            self._write(head)


Address = tuple[str, int | None]

_PHRASES: Final = {
    400: b"Bad Request",
    408: b"Request Timeout",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
}


def scope_of(
    head: RequestHead,
    server: Address | None,
    client: Address | None,
    state: dict[str, Any],
    refusal: Problem | None = None,
) -> dict[str, Any]:
    """Return the scope of a request, which is answered with `refusal` if there is one.

    The headers of proxies are ignored: nothing here depends on them.
    """
    path = head.path.decode("ascii")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": head.version,
        "server": server,
        "client": client,
        "scheme": "http",
        "root_path": "",
        "method": head.method,
        "path": unquote(path) if "%" in path else path,
        "raw_path": head.path,
        "query_string": head.query,
        "headers": head.headers,
        "state": state.copy(),
        REFUSAL: refusal,
    }


def cycle_of(
    scope: dict[str, Any],
    body: bytearray,
    *,
    transport: Outlet,
    flow: FlowControl,
    headers: list[tuple[bytes, bytes]],
    keep_alive: bool,
    on_response: Callable[[], None],
) -> RequestResponseCycle:
    """Return what runs the application for a request that is complete, and writes its answer."""
    cycle = RequestResponseCycle(
        scope=scope,  # type: ignore[arg-type]
        transport=transport,  # type: ignore[arg-type]
        flow=flow,
        logger=_logger,
        access_logger=_logger,
        access_log=False,
        default_headers=headers,
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=on_response,
    )
    cycle.body, cycle.more_body = body, False
    cycle.message_event.set()
    return cycle


def closing_answer(problem: Problem) -> bytes:
    """Return the answer to a request whose head could not be read; the connection is closed after it."""
    body = json_bytes(body_of(problem.status, problem.code, problem.detail))
    return (
        b"HTTP/1.1 %d %s\r\n" % (problem.status, _PHRASES[problem.status])
        + b"content-type: %s\r\n" % MEDIA_TYPE.encode()
        + b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        + body
    )
