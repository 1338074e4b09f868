"""A receiver of callbacks that misbehaves as the path of its URL says, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    import ssl
    from types import TracebackType
    from typing import Self

LINE = b"HTTP/1.1 %d X\r\n"
MEGABYTE = 2**20


@dataclass(frozen=True)
class Received:
    """One request. `headers` are by their names in lower case, `line` is the request line as it came."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Misbehaving:
    """Listens on an address; `connections` counts those that were made, `received` are the requests in order.

    Paths: `/status/503?retry-after=7&body=text`, `/then/500/hang/204` (one after another, the last for ever), `/hang`
    (no answer), `/late/2/204` (after two seconds), `/trickle` (blank lines, a byte now and then), `/trickle-status`,
    `/trickle-body`, `/endless`, `/bomb`, `/headers` (1 MB of them), `/reset`, `/close`, `/garbage`. When `mended` every
    path answers 204.
    """

    host: str = "127.0.0.1"
    tls: ssl.SSLContext | None = None
    mended: bool = False
    connections: int = 0
    received: list[Received] = field(default_factory=list)
    port: int = 0

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._changed = threading.Condition()
        self._turns: dict[str, int] = {}
        self._writers: set[asyncio.StreamWriter] = set()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def url(self, path: str, host: str | None = None) -> str:
        """Return the URL of a path; `host` is another name for where this listens."""
        return f"{'http' if self.tls is None else 'https'}://{host or self.host}:{self.port}{path}"

    def wait_for(self, number: int, seconds: float = 30) -> list[Received]:
        """Return the first requests as soon as there are so many."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self.received) >= number, seconds)
            assert came, f"{len(self.received)} of {number} requests have come"
            return self.received[:number]

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, self.host, self.port, ssl=self.tls, limit=32 * MEGABYTE)

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                path = await self._read(reader)
                await self._answer(path, reader, writer)
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> str:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(": ") for line in head[1:] if line)
        headers = {name.lower(): value for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        with self._changed:
            self.received.append(Received(head[0], headers, body))
            self._changed.notify_all()
        return head[0].split(" ")[1]

    async def _answer(self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        words = path.strip("/").split("/")
        if words[0] == "then":
            turn = self._turns[path] = self._turns.get(path, 0) + 1
            words = [words[min(turn, len(words) - 1)]]
        match ["204"] if self.mended else words:
            case ["status", status] | [status] if status.isdecimal():
                await _send(writer, int(status), query)
            case ["late", seconds, status]:
                await asyncio.sleep(float(seconds))  # slowness is what is tested
                await _send(writer, int(status), query)
            case ["hang"]:
                await reader.read()
            case [name] if name in MISBEHAVIOUR:
                await MISBEHAVIOUR[name](writer)
            case _:
                await _send(writer, 404, {})


async def _trickle(writer: asyncio.StreamWriter, text: bytes = b"\r\n") -> None:
    for byte in text * 1000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.02)  # slowness is what is tested


async def _trickle_status(writer: asyncio.StreamWriter) -> None:
    await _trickle(writer, LINE % 200)


async def _trickle_body(writer: asyncio.StreamWriter) -> None:
    writer.write((LINE % 200) + b"Content-Length: 1000\r\n\r\n")
    await _trickle(writer, b"x")


async def _endless(writer: asyncio.StreamWriter) -> None:
    writer.write((LINE % 200) + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        await writer.drain()


@cache
def bomb() -> bytes:
    """64 MB in a few kilobytes. Packing them takes a while: call this before a test in which time counts."""
    return gzip.compress(bytes(64 * MEGABYTE))


async def _bomb(writer: asyncio.StreamWriter) -> None:
    packed = bomb()
    writer.write(LINE % 500 + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed)
    await writer.drain()


async def _headers(writer: asyncio.StreamWriter) -> None:
    writer.write(LINE % 200 + b"X-Filler: " + b"x" * MEGABYTE + b"\r\n\r\n")
    await writer.drain()


async def _reset(writer: asyncio.StreamWriter) -> None:
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def _close(_writer: asyncio.StreamWriter) -> None:
    return


async def _garbage(writer: asyncio.StreamWriter) -> None:
    writer.write(b"what is this\r\n\r\n")
    await writer.drain()


async def _send(writer: asyncio.StreamWriter, status: int, query: dict[str, list[str]]) -> None:
    body = query.get("body", [""])[0].encode()
    retry_after = "".join(f"Retry-After: {value}\r\n" for value in query.get("retry-after", []))
    location = "Location: /status/200\r\n" if status // 100 == 3 else ""
    writer.write(LINE % status + f"{retry_after}{location}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()


MISBEHAVIOUR = {
    "trickle": _trickle,
    "trickle-body": _trickle_body,
    "trickle-status": _trickle_status,
    "endless": _endless,
    "bomb": _bomb,
    "headers": _headers,
    "reset": _reset,
    "close": _close,
    "garbage": _garbage,
}
