"""For the receiving side of callbacks: verify their signatures, and a small receiver for demos and tests."""

from __future__ import annotations

import json
import queue
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from taskpost.signature import SignatureInvalid, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self

__all__ = ["Received", "Receiver", "SignatureInvalid", "verify"]


@dataclass(frozen=True)
class Received:
    """A request that came in."""

    headers: Mapping[str, str]
    """By their names in lower case."""
    body: bytes
    path: str
    received_at: datetime

    def json(self) -> Any:  # noqa: ANN401 - any JSON value
        """Return the body's JSON."""
        return json.loads(self.body)


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # a burst of callbacks is what it is for


class Receiver:
    """A threaded HTTP server on a free port of 127.0.0.1 that keeps every POST it gets; a context manager.

    Args:
        respond: chooses the status of each answer; None closes the connection without one. By default all are 200.
            It runs in a thread of its own for each request, after the request was queued for `next`.
    """

    def __init__(self, respond: Callable[[Received], int | None] = lambda _: 200) -> None:
        self._received: queue.Queue[Received] = queue.Queue()
        self._server = _Server(("127.0.0.1", 0), _handler(self._received, respond))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where to POST; any path under it will do."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    def next(self, timeout_seconds: float | None = None) -> Received:
        """Return the next request in the order of arrival.

        Raises:
            TimeoutError: none came in time.
        """
        try:
            return self._received.get(timeout=timeout_seconds)
        except queue.Empty:
            raise TimeoutError(f"Nothing was received at {self.url} within {timeout_seconds:g} s.") from None

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _handler(
    received: queue.Queue[Received], respond: Callable[[Received], int | None]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Received(headers, body, self.path, datetime.now(UTC))
            received.put(request)
            status = respond(request)
            if status is not None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Keep quiet: what came in is in the queue."""

    return Handler
