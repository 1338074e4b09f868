"""For the receiving side of callbacks: verify their signatures, and a small receiver for demos and tests."""

from __future__ import annotations

import json
import queue
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from taskpost.arguments import checked_port, checked_seconds, checked_text
from taskpost.receiver_server import Server
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
    """By their names in lower case; the values of one that came several times are joined by commas."""
    body: bytes
    path: str
    received_at: datetime

    def json(self) -> Any:  # noqa: ANN401 - any JSON value
        """Return the JSON value of the body.

        Raises:
            ValueError: the body is not JSON.
        """
        try:
            return json.loads(self.body)
        except RecursionError as error:
            raise ValueError("the body is nested too deeply to be read") from error


class Receiver:
    """A threaded HTTP server that keeps every POST it gets until it is asked for; a context manager.

    It is for demos and tests: a receiver that must not lose a callback stores it before it answers.

    Args:
        respond: chooses the status of each answer; None closes the connection without one. By default all are 200.
            It runs in a thread of its own for each request, after the request was queued for `next`.
        host: the address to listen on, by default that of this machine alone.
        port: the port to listen on; 0 takes a free one.

    Raises:
        OSError: the address cannot be listened on.
        ValueError: the port is not an integer from 0 to 65535, or the host is not a string.
    """

    def __init__(
        self, respond: Callable[[Received], int | None] = lambda _: 200, *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        checked_text("host", host)
        checked_port(port)
        self._received: queue.Queue[Received] = queue.Queue()
        self._respond = respond
        self._server = Server((host, port), self._take)

    def _take(self, headers: Mapping[str, str], body: bytes, path: str) -> int | None:
        request = Received(headers, body, path, datetime.now(UTC))
        self._received.put(request)
        return self._respond(request)

    @property
    def url(self) -> str:
        """The address to POST to; any path under it will do."""
        return self._server.url

    def next(self, timeout_seconds: float | None = None) -> Received:
        """Return the next request in the order of arrival.

        Args:
            timeout_seconds: how long to wait for it; None for no limit.

        Raises:
            TimeoutError: none came in time.
            ValueError: the time is not a number.
        """
        seconds = checked_seconds("timeout_seconds", timeout_seconds)
        try:
            return self._received.get(timeout=seconds and min(max(seconds, 0), threading.TIMEOUT_MAX))
        except queue.Empty:
            raise TimeoutError(f"Nothing was received at {self.url} within {timeout_seconds:g} s.") from None

    def close(self) -> None:
        """Stop listening. Requests that have arrived are answered first."""
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
