"""The HTTP server: uvicorn's loop and shutdown, our protocol, and an acceptor that survives a lack of descriptors."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import uvicorn

from api.web.connections import Connections, Limits
from api.web.protocol import Protocol

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

logger = logging.getLogger(__name__)

GRACEFUL_SHUTDOWN_SECONDS: Final = 5
ACCEPTED_AT_ONCE: Final = 64
ACCEPT_PAUSE_SECONDS: Final = 0.02
LOG_PAUSE_SECONDS: Final = 10.0
EXIT_FAILED: Final = 1

_NO_DESCRIPTORS: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class Server(uvicorn.Server):
    """Uvicorn without its signal handlers: attempts and Valkey must end after the server."""

    def __init__(self, application: ASGIApp, limits: Limits) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_SECONDS,
            )
        )
        self._limits = limits

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(EXIT_FAILED)
        connections = Connections(self._limits, asyncio.get_running_loop())

        def new_connection() -> asyncio.BaseProtocol:
            return Protocol(connections, self.config, self.server_state, self.lifespan.state)

        self.servers = [Acceptor(bound, new_connection, connections) for bound in sockets or []]  # type: ignore[misc]
        self.started = True


class Acceptor:
    """Accepts the connections of a socket that listens.

    asyncio's own logs a traceback for each connection that it could not accept, 2,048 at a time. This one makes room
    and keeps a descriptor in reserve: with it, a connection for which there is no room is taken and closed.
    """

    def __init__(
        self, listening: socket.socket, new_connection: Callable[[], asyncio.BaseProtocol], connections: Connections
    ) -> None:
        self._listening = listening
        self._new_connection = new_connection
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._reserve: int | None = None
        self._beginning: set[asyncio.Task[Any]] = set()
        self._failures = 0
        self._log_after = 0.0
        self._again: asyncio.TimerHandle | None = None
        self._keep_reserve()
        listening.settimeout(0)
        self._loop.add_reader(listening.fileno(), self._accept)

    def close(self) -> None:
        """Stop. The caller that opened the socket closes it."""
        if self._again is not None:
            self._again.cancel()
            self._again = None
        self._loop.remove_reader(self._listening.fileno())
        self._release_reserve()

    async def wait_closed(self) -> None:
        """Return at once: the server waits for connections."""

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                accepted, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_DESCRIPTORS:
                    raise
                self._make_room(error)
                return
            accepted.settimeout(0)
            task = self._loop.create_task(self._begin(accepted))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    async def _begin(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._new_connection, accepted)
        except OSError:
            accepted.close()

    def _make_room(self, error: OSError) -> None:
        """Free a descriptor: of another connection, else the reserve, to accept and close the new connection."""
        self._failures += 1
        if not self._connections.make_room():
            self._release_reserve()
            with contextlib.suppress(OSError):
                self._listening.accept()[0].close()
            self._keep_reserve()
        self._loop.remove_reader(self._listening.fileno())
        self._again = self._loop.call_later(ACCEPT_PAUSE_SECONDS, self._resume)
        if self._loop.time() >= self._log_after:
            self._log_after = self._loop.time() + LOG_PAUSE_SECONDS
            facts = {"count": self._failures, "reason": os.strerror(error.errno or 0)}
            logger.warning("descriptors_exhausted", extra=facts)
            self._failures = 0

    def _resume(self) -> None:
        self._again = None
        if self._reserve is None:
            self._keep_reserve()
        self._loop.add_reader(self._listening.fileno(), self._accept)

    def _keep_reserve(self) -> None:
        with contextlib.suppress(OSError):
            self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _release_reserve(self) -> None:
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None
