"""The HTTP server of `Receiver`: a thread for each request, bounded in number, bytes and time, as anyone may call."""

from __future__ import annotations

import socket
import sys
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Take = Callable[[Mapping[str, str], bytes, str], int | None]

MAX_BODY_BYTES: Final = 300 * 1024 * 1024
"""More than the largest result that a service can be set to allow, with the rest of its callback."""
MAX_HELD_BYTES: Final = 512 * 1024 * 1024
MAX_REQUESTS: Final = 128
SILENCE_SECONDS: Final = 10.0
HEAD_SECONDS: Final = 10.0
"""How long the head of a request may take, however it trickles."""
BODY_SECONDS: Final = 120.0
LAST_ANSWERS_SECONDS: Final = 2.0
_CHUNK: Final = 64 * 1024


class Server(ThreadingHTTPServer):
    """Listens, and calls `take` with headers (names in lower case), body and path of every POST.

    `take` returns the status to answer, or None to close the connection. It runs in a thread of its own.

    Raises:
        OSError: the address cannot be listened on.
    """

    request_queue_size = 128  # a burst of callbacks is what it is for

    def __init__(self, address: tuple[str, int], take: Take) -> None:
        self.take = take
        self._changed = threading.Condition()
        self._requests = 0
        self._held_bytes = 0
        self._heads: dict[socket.socket, float] = {}
        """Until when the heads must have arrived that are still to come, the oldest first."""
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where to POST; any path under it will do."""
        host, port = self.server_address[:2]
        return f"http://[{host!s}]:{port}/" if ":" in str(host) else f"http://{host!s}:{port}/"

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as the base class has it
        """Answer in a thread of its own, or close the connection if there are too many."""
        with self._changed:
            full = self._requests >= MAX_REQUESTS
            self._requests += not full
            if not full:
                self._heads[request] = time.monotonic() + HEAD_SECONDS
        if full:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def service_actions(self) -> None:
        """End the connections whose head did not arrive in time. Called after each connection and each pause."""
        super().service_actions()
        now = time.monotonic()
        with self._changed:
            for connection in [one for one, until in self._heads.items() if until < now]:
                del self._heads[connection]
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def has_head(self, connection: socket.socket) -> None:
        """Let the rest of a request, whose head has arrived, take its own time. Called again when it is over."""
        with self._changed:
            self._heads.pop(connection, None)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - as the base class has it
        """Close a connection."""
        self.has_head(request)
        super().shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as above
        """Answer, and make room for another."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._changed:
                self._requests -= 1
                self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as above
        """Ignore broken connections; print every other error."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    @contextmanager
    def holding(self, number: int) -> Iterator[bool]:
        """Count bytes that are held; the value is whether they may be."""
        with self._changed:
            fits = self._held_bytes + number <= MAX_HELD_BYTES
            self._held_bytes += number * fits
        try:
            yield fits
        finally:
            with self._changed:
                self._held_bytes -= number * fits

    def close(self) -> None:
        """Stop listening, once the answers that are due are sent, or are too late."""
        self.shutdown()
        with self._changed:
            self._changed.wait_for(lambda: not self._requests, LAST_ANSWERS_SECONDS)
        self.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    timeout = SILENCE_SECONDS
    server: Server

    def do_POST(self) -> None:
        self.server.has_head(self.connection)
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) <= len(str(MAX_BODY_BYTES))):
            self._answer(411)
        elif int(length) > MAX_BODY_BYTES:
            self._answer(413)
        else:
            with self.server.holding(int(length)) as fits:
                self._answer(self._take(int(length)) if fits else 503)

    def _take(self, length: int) -> int | None:
        body = self._read(length)
        if body is None:
            return 408
        # A header that comes twice is kept whole, so that a signature is never checked over one half of it.
        names = dict.fromkeys(name.lower() for name in self.headers)
        headers = {name: ", ".join(self.headers.get_all(name, ())) for name in names}
        return self.server.take(headers, body, self.path)

    def _read(self, length: int) -> bytes | None:
        """Return the body, or None if it does not arrive in time."""
        parts, missing, deadline = [], length, time.monotonic() + BODY_SECONDS
        while missing:
            try:
                part = self.rfile.read1(min(missing, _CHUNK))
            except TimeoutError:
                return None
            if not part or time.monotonic() > deadline:
                return None
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _answer(self, status: int | None) -> None:
        if status is None:
            return
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Keep quiet: what came in is given to `take`."""
