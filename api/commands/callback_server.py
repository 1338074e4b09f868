"""A receiver of callbacks for `helm test`, at an address that pods reach and a path that nobody else knows."""

from __future__ import annotations

import queue
import secrets
import socket
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

MOST_BODY_BYTES: Final = 1_000_000


@dataclass(frozen=True)
class Callback:
    """A callback as it arrived."""

    headers: Mapping[str, str]
    """By their names in lower case."""
    body: bytes
    at: float
    """By the monotonic clock of this process."""


class CallbackServer(ThreadingHTTPServer):
    """Keeps what is POSTed to its `url`; a context manager that listens while it is open. Port 0 takes a free one."""

    daemon_threads = True

    def __init__(self, address: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.path = f"/{secrets.token_urlsafe(16)}"
        self.received: queue.Queue[Callback] = queue.Queue()
        super().__init__((address, port), _Handler)
        host = f"[{address}]" if ":" in address else address
        self.url = f"http://{host}:{self.server_port}{self.path}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: CallbackServer
    timeout = 10

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        known = self.path == self.server.path and length.isascii() and length.isdigit()
        if known and int(length) <= MOST_BODY_BYTES:
            body = self.rfile.read(int(length))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.server.received.put(Callback(headers, body, time.monotonic()))
        self.send_response(204 if known else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Print nothing: the log of the test has its phases."""
