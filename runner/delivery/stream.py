"""The bytes of one connection, plain or in TLS, on a socket of our own.

asyncio's transports drop what has been received as soon as a write fails. An answer that comes before the whole body is
sent, with a reset right behind it, is lost that way; so is the alert that says why TLS was refused. Here what has been
received can be read whatever became of the writing.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import socket

RECEIVE_BYTES: Final = 64 * 1024
TLS_RECORD_TYPES: Final = frozenset({20, 21, 22, 23})
BEGINNING_BYTES: Final = 64


class NotTlsError(Exception):
    """The other end does not speak TLS; `beginning` is what it sent instead."""

    def __init__(self, beginning: bytes) -> None:
        super().__init__(beginning)
        self.beginning = beginning


class HandshakeClosedError(Exception):
    """The other end closed the connection before the TLS handshake was over."""


class Stream(Protocol):
    """A connection. `send` and `receive` may run at the same time."""

    async def send(self, data: bytes) -> None:
        """Return when the kernel has taken everything. Raises OSError."""

    async def receive(self) -> bytes:
        """Return what has come, nothing if nothing more will come. Raises OSError."""

    def close(self) -> None:
        """Close it, without waiting for anything."""

    def send_at_once(self, data: bytes) -> None:
        """Send what can be sent without waiting."""


class PlainStream:
    """A connected socket."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        """Return when the kernel has taken everything."""
        await self._loop.sock_sendall(self._socket, data)

    async def receive(self) -> bytes:
        """Return what has come, nothing if nothing more will come."""
        return await self._loop.sock_recv(self._socket, RECEIVE_BYTES)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def send_at_once(self, data: bytes) -> None:
        """Send what can be sent without waiting."""
        with suppress(OSError):
            self._socket.send(data)


class TlsStream:
    """TLS over another stream: that of a socket, or a tunnel through a proxy, which may be in TLS itself."""

    def __init__(self, below: Stream, context: ssl.SSLContext, server_name: str) -> None:
        self._below = below
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._flushing = asyncio.Lock()
        self._beginning = b""

    async def handshake(self) -> None:
        """Agree on TLS, and verify the other end's certificate.

        Raises:
            NotTlsError, HandshakeClosedError: if there is nothing to agree with.
            OSError: as it comes, `ssl.SSLError` among them.
        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except ssl.SSLError as fault:
                self._below.send_at_once(self._outgoing.read())
                raise self._said_otherwise(fault) from fault
            else:
                await self._flush()
                return

    async def send(self, data: bytes) -> None:
        """Return when the kernel has taken everything."""
        left = memoryview(data)
        while left:
            left = left[self._tls.write(left) :]
        await self._flush()

    async def receive(self) -> bytes:
        """Return the bytes that have come, or nothing at the end, with or without close_notify."""
        while True:
            try:
                return self._tls.read(RECEIVE_BYTES)
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    def close(self) -> None:
        """Send close_notify, and close the stream below."""
        with suppress(ssl.SSLError, OSError, ValueError):
            self._tls.unwrap()
        self._below.send_at_once(self._outgoing.read())
        self._below.close()

    def send_at_once(self, data: bytes) -> None:
        """Send what can be sent without waiting."""
        with suppress(ssl.SSLError, ValueError):
            self._tls.write(data)
        self._below.send_at_once(self._outgoing.read())

    async def _flush(self) -> None:
        async with self._flushing:
            if self._outgoing.pending:
                await self._below.send(self._outgoing.read())

    async def _fill(self) -> None:
        data = await self._below.receive()
        self._beginning += data[: BEGINNING_BYTES - len(self._beginning)]
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _said_otherwise(self, fault: ssl.SSLError) -> Exception:
        if self._beginning and self._beginning[0] not in TLS_RECORD_TYPES:
            return NotTlsError(self._beginning)
        return HandshakeClosedError() if isinstance(fault, ssl.SSLEOFError) else fault
