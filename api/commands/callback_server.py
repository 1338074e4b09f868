"""A receiver of callbacks for `helm test`, at an address that pods reach and a path that nobody else knows."""

from __future__ import annotations

import queue
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskpost.receiver_server import Server

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self


@dataclass(frozen=True)
class Callback:
    """A callback as it arrived."""

    headers: Mapping[str, str]
    """By their names in lower case."""
    body: bytes
    at: float
    """By the monotonic clock of this process."""


class CallbackServer:
    """Keeps what is POSTed to its `url`; a context manager that listens until it is left. Port 0 takes a free one."""

    def __init__(self, address: str, port: int) -> None:
        self._path = f"/{secrets.token_urlsafe(16)}"
        self.received: queue.Queue[Callback] = queue.Queue()
        self._server = Server((address, port), self._take)
        self.url = self._server.url.removesuffix("/") + self._path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()

    def _take(self, headers: Mapping[str, str], body: bytes, path: str) -> int:
        if path != self._path:
            return 404
        self.received.put(Callback(headers, body, time.monotonic()))
        return 204
