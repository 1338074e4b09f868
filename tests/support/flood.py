"""A client that holds on to all it can get, as a process of its own: `python -m tests.support.flood HOST PORT`.

1,200 idle connections, 400 bodies that lack their last bytes and 8 endless trailers at the same time. What the server
closes is opened again, for as long as standard input stays open; a pause bounds how often.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys

IDLE = 1200
BODIES = 400
TRAILERS = 8
PAUSE_SECONDS = 0.5
HEAD = b"POST /api/tasks HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
BODY = HEAD + b"Content-Length: 1048576\r\n\r\n" + b"[" + b"1," * (524_288 - 50)
TRAILER = HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"


async def hold(host: str, port: int, first: bytes, more: bytes = b"") -> None:
    """Open a connection, send, and hold on to it; again when it has been closed."""
    while True:
        writer = None
        try:
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(first)
            while more:
                writer.write(more)
                await writer.drain()
            await reader.read()
        except OSError:
            pass
        if writer is not None:
            writer.transport.abort()
        await asyncio.sleep(PAUSE_SECONDS)


async def flood(host: str, port: int) -> None:
    """Hold on until standard input ends."""
    everything = [
        *(hold(host, port, b"") for _ in range(IDLE)),
        *(hold(host, port, BODY) for _ in range(BODIES)),
        *(hold(host, port, TRAILER, b"X: " + b"y" * 64_000) for _ in range(TRAILERS // 2)),
        *(hold(host, port, TRAILER, b"X: y\r\n" * 10_000) for _ in range(TRAILERS // 2)),
    ]
    tasks = [asyncio.create_task(each) for each in everything]
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.nice(19)  # A client elsewhere takes no processor of the server's.
    asyncio.run(flood(sys.argv[1], int(sys.argv[2])))
