"""The web part as it is served: uvicorn on loopback, in the event loop of the test."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import httpx
import uvicorn

from api.core.log_tail import LogTail
from api.core.task_types import TaskTypeDefinition
from api.queue.shapes import QueueLimits
from api.web.application import create_app
from api.web.connections import Limits
from api.web.server import Server
from api.web.services import Services, WebSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractContextManager

    from fastapi import FastAPI

    from api.core.observation import AttemptId
    from api.queue.queue import Queue

TYPES = {
    definition.name: definition
    for definition in (
        TaskTypeDefinition(
            name="fibonacci",
            description="The n-th Fibonacci number.",
            input_schema={
                "type": "object",
                "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 10_000_000}},
                "required": ["n"],
                "additionalProperties": False,
            },
            example={"n": 100},
            concurrency=None,
            max_timeout_seconds=3600,
            default_timeout_seconds=lambda _: 600,
        ),
        TaskTypeDefinition(
            name="sleep",
            description="Sleeps.",
            input_schema={
                "type": "object",
                "properties": {"seconds": {"type": "number", "minimum": 0, "maximum": 86_400}},
                "required": ["seconds"],
                "additionalProperties": False,
            },
            example={"seconds": 1.5},
            concurrency=2,
            max_timeout_seconds=86_460,
            default_timeout_seconds=lambda task_input: task_input["seconds"] + 60,
        ),
        TaskTypeDefinition(
            name="anything",
            description="Takes whatever is sent.",
            input_schema={},
            example={},
            concurrency=None,
            max_timeout_seconds=60,
            default_timeout_seconds=lambda _: 1e9,
        ),
    )
}
VALID: dict[str, Any] = {"result_url": None, "task_type": "fibonacci", "task_input": {"n": 10}}
ANYTHING_LARGE = b'{"result_url":null,"task_type":"anything","task_input":"%b"}' % (b"x" * (1024 * 1024 - 100))


async def always_ready() -> str | None:
    return None


async def nothing_written(_: AttemptId) -> LogTail:
    return LogTail()


def services_of(queue: Queue, **settings: Any) -> Services:
    """Services with plain settings; `ready`, `read_log` and settings can be given."""
    ready, read_log = settings.pop("ready", always_ready), settings.pop("read_log", nothing_written)
    plain = {"queue_limits": QueueLimits(max_length=10_000, max_bytes=64 * 1024 * 1024), "concurrency": 4}
    return Services(
        queue=queue,
        types=lambda: TYPES,
        settings=WebSettings(**plain | settings),
        ready=ready,
        read_log=read_log,
    )


class _EndsByEvent(uvicorn.Server):
    """Ends by an event, at once, and leaves the test's signals alone."""

    ended: asyncio.Event

    def capture_signals(self) -> AbstractContextManager[None]:
        return nullcontext()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.ended.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does, without its tenth of a second."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(0)
        await self._wait_tasks_to_complete()
        await self.lifespan.shutdown()


class _Served(_EndsByEvent, Server):
    """The service's own server."""


@asynccontextmanager
async def serving(app: FastAPI, **options: Any) -> AsyncIterator[str]:
    """Serve an application; gives its URL. `options` are limits, or `http` for a protocol of uvicorn's.

    The socket listens before the server runs, so nobody has to wait for it.
    """
    # With the protocol named, asyncio sets TCP_NODELAY; without it, answers wait for the client's delayed ACK.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        if "http" in options:
            server: _EndsByEvent = _EndsByEvent(uvicorn.Config(app, log_config=None, access_log=False, **options))
        else:
            server = _Served(app, Limits(**options))
        server.ended = asyncio.Event()
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.ended.set()
            await serving


@asynccontextmanager
async def web_client(services: Services, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a served application of these services."""
    async with serving(create_app(services), **options) as url, httpx.AsyncClient(base_url=url, verify=False) as client:
        yield client
