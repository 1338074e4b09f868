"""An embedded Valkey of a test, and what it logs."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from api.embedded.valkey import embedded_valkey
from runner.connect import connect_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

    from api.embedded.directory import DataDirectory


@asynccontextmanager
async def running(data: DataDirectory) -> AsyncIterator[redis.asyncio.Redis]:
    async with embedded_valkey(data) as url, connect_async(url, decode_responses=True) as client:
        yield client


def valkey_pid(data: DataDirectory) -> int:
    pid: int = json.loads((data.valkey / "valkey.lock").read_text())["pid"]
    return pid


class Events(logging.Handler):
    """What the embedded Valkey logs, to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: asyncio.Queue[str] = asyncio.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.put_nowait(record.getMessage())

    async def wait_for(self, message: str) -> list[str]:
        """Return what was logged since the last wait, until `message`."""
        seen: list[str] = []
        async with asyncio.timeout(30):
            while message not in seen:
                seen.append(await self.messages.get())
        return seen
