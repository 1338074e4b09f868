"""A client that costs next to nothing: bytes made beforehand, a few connections that are kept, no HTTP library."""

from __future__ import annotations

import re
import selectors
import socket
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

CONNECTIONS = 8
ANSWER_SECONDS = 20.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Connection:
    """One connection to an HTTP server. It can tell a whole answer, and that is all it knows of HTTP."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def send(self, request: bytes) -> None:
        self.socket.sendall(request)

    def receive(self) -> bytes | None:
        """Read once; return the answer with its head if it is whole now."""
        got = self.socket.recv(1 << 18)
        if not got:
            raise ConnectionError("the server has closed the connection")
        self._buffer += got
        end = self._buffer.find(b"\r\n\r\n")
        length = _LENGTH.search(self._buffer) if end >= 0 else None
        if length is None or len(self._buffer) < end + 4 + int(length[1]):
            return None
        answer, self._buffer = self._buffer, b""
        if not answer.startswith(b"HTTP/1.1 2"):
            raise RuntimeError(f"refused: {answer[:1000]!r}")
        return answer

    def ask(self, request: bytes) -> bytes:
        self.send(request)
        while (answer := self.receive()) is None:
            pass
        return answer


class Load:
    """Sends one request over several connections at a time, each again as soon as it is answered."""

    def __init__(self, url: str, request: bytes, connections: int = CONNECTIONS) -> None:
        self._request = request
        self._connections = [Connection(url) for _ in range(connections)]
        self._selector = selectors.DefaultSelector()
        for connection in self._connections:
            self._selector.register(connection.socket, selectors.EVENT_READ, connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._selector.close()
        for connection in self._connections:
            connection.socket.close()

    def run(self, requests: int) -> float:
        """Send so many requests; return how many a second were answered."""
        began = time.perf_counter()
        for connection in self._connections:
            connection.send(self._request)
        unsent, unanswered = requests - len(self._connections), requests
        while unanswered:
            ready = self._selector.select(ANSWER_SECONDS)
            if not ready:
                raise TimeoutError(f"no answer within {ANSWER_SECONDS:g} seconds")
            for key, _ in ready:
                if key.data.receive() is not None:
                    unanswered -= 1
                    if unsent:
                        unsent -= 1
                        key.data.send(self._request)
        return requests / (time.perf_counter() - began)


def post(path: str, body: bytes) -> bytes:
    headers = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    head = f"POST {path} HTTP/1.1\r\n{headers}\r\n"
    return head.encode() + body


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
