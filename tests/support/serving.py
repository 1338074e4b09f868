"""A server of a test's own over real sockets, that answers as a function says."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(answer: Answer, **more: Any) -> AsyncIterator[str]:
    """A server of one's own on loopback; gives its address. When it is left nothing of it is open any more."""
    writers: list[asyncio.StreamWriter] = []
    tasks: list[asyncio.Task[Any] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        tasks.append(asyncio.current_task())
        await answer(reader, writer)

    async with await asyncio.start_server(serve, "127.0.0.1", 0, **more) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for writer in writers:
            writer.close()
        await asyncio.gather(
            *filter(None, tasks), *(writer.wait_closed() for writer in writers), return_exceptions=True
        )
