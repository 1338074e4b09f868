"""Limits in time, number and sum of all connections: who holds on loses, and others are served."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import resource
import socket
from collections import Counter
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

from api.web.application import create_app
from runner.contract import key_prefix
from tests.support.raw import LIVE, TASK, Connection, chunked, connection, post
from tests.support.service import ServiceProcess
from tests.support.wait import until
from tests.support.web import ANYTHING_LARGE, services_of, serving

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from api.queue.queue import Queue

MIB = 2**20
SHORT: dict[str, Any] = {"idle_seconds": 0.3, "head_seconds": 0.3, "body_seconds": 0.3, "unread_seconds": 0.3,
                         "closing_seconds": 0.3}  # fmt: skip


async def write_on(client: Connection) -> None:
    """Send until the server has had enough."""
    async with asyncio.timeout(10):
        while True:
            client.writer.write(LIVE)
            await client.writer.drain()
            await asyncio.sleep(0.05)


def gone(client: Connection) -> bool:
    """Whether the server has closed, which a client that does not read sees only when it sends."""
    if not client.writer.is_closing():
        client.writer.write(LIVE)
    return client.writer.is_closing()


# Time.


@pytest.mark.parametrize(
    "sent",
    [b"G", b"GET / HTTP/1.1\r\nHost: x\r\n", post()[:-1], post(b"5\r\nx", "Transfer-Encoding: chunked", length=False)],
)
async def test_what_does_not_arrive_in_time_is_answered_with_408(queue: Queue, sent: bytes) -> None:
    async with serving(create_app(services_of(queue)), **SHORT) as url, connection(url) as client:
        await client.send(sent)
        answer = await client.answer()
        assert (answer.status, answer.code, answer.headers["connection"]) == (408, "request_timeout", "close")
        assert await client.ended() == b""


@pytest.mark.parametrize("sent", [LIVE[:-2], post(b"x" * 1000)])
async def test_a_byte_now_and_then_is_not_in_time(queue: Queue, sent: bytes) -> None:
    """The time is that of the whole head, or of the whole body: it does not restart with each byte."""
    async with serving(create_app(services_of(queue)), **SHORT) as url, connection(url) as client:

        async def trickle() -> None:
            for byte in sent:
                client.writer.write(bytes([byte]))
                await asyncio.sleep(0.01)

        trickling = asyncio.create_task(trickle())
        assert (await client.answer()).status == 408
        trickling.cancel()


async def test_idle_connections_are_closed_without_a_word(queue: Queue) -> None:
    async with serving(create_app(services_of(queue)), **SHORT) as url:
        async with connection(url) as client:
            assert await client.ended() == b""
        async with connection(url) as client:
            await client.send(LIVE)
            assert (await client.answer()).status == 200
            assert await client.ended() == b""


async def test_a_client_that_does_not_read_is_dropped(queue: Queue) -> None:
    """And one that reads slowly is not: what counts is that it reads."""
    app = create_app(services_of(queue))
    document = LIVE.replace(b"/livez", b"/docs/assets/swagger-ui-bundle.js")
    async with serving(app, **SHORT | {"unread_seconds": 1}) as url:
        async with connection(url, limit=1024) as client:
            client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.reader._transport.pause_reading()  # type: ignore[attr-defined]
            await client.send(document * 50)
            await until(lambda: gone(client))
        async with connection(url) as client:
            await client.send(document)
            assert (await client.answer()).status == 200


async def test_a_client_that_has_gone_is_not_waited_for(queue: Queue) -> None:
    """It does not close after the last answer."""
    async with serving(create_app(services_of(queue)), **SHORT) as url, connection(url) as client:
        await client.send(LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert (await client.answer()).status == 200
        with pytest.raises(ConnectionError):
            await write_on(client)


# Number and sum.


async def test_a_newcomer_is_served_however_many_hold_on(queue: Queue) -> None:
    app = create_app(services_of(queue))
    async with serving(app, connections=20) as url:
        held = [connection(url) for _ in range(60)]
        clients = [await client.__aenter__() for client in held]
        for number, client in enumerate(clients):
            client.writer.write((b"", b"GET / HTTP/1.1\r\n", post()[:-1])[number % 3])
        for _ in range(30):
            async with connection(url) as client:
                await client.send(post())
                assert (await client.answer()).status == 202
        ends = [asyncio.create_task(client.ended()) for client in clients]
        await until(lambda: sum(end.done() for end in ends) >= len(clients) - 20)
        for end in ends:
            end.cancel()


async def test_those_who_have_sent_nothing_go_first(queue: Queue) -> None:
    """An unfinished body survives idle connections that come after it."""
    async with serving(create_app(services_of(queue)), connections=20) as url, connection(url) as sender:
        await sender.send(post()[:-1])
        idle = [connection(url) for _ in range(100)]
        for client in idle:
            await client.__aenter__()
        await sender.send(post()[-1:])
        assert (await sender.answer()).status == 202
        for client in idle:
            await client.__aexit__(None, None, None)


async def test_all_that_is_held_has_a_bound(queue: Queue) -> None:
    """Bodies of which nothing comes any more go, with 408; a new one is read, and the others can be completed."""
    async with serving(create_app(services_of(queue)), held_bytes=4 * MIB) as url:
        held = [connection(url) for _ in range(8)]
        clients = [await client.__aenter__() for client in held]
        for client in clients:
            await client.send(post(ANYTHING_LARGE)[:-1])
        answers = [asyncio.create_task(client.answer()) for client in clients]
        refused = [(await answer).status for answer in islice(asyncio.as_completed(answers), 4)]
        assert refused == [408] * 4
        async with connection(url) as client:
            await client.send(post(ANYTHING_LARGE))
            assert (await client.answer()).status == 202
        others = [(client, answer) for client, answer in zip(clients, answers, strict=True) if not answer.done()]
        for client, _ in others:
            client.writer.write(ANYTHING_LARGE[-1:])
        assert Counter([(await answer).status for _, answer in others])[202] >= 3
        for client in held:
            await client.__aexit__(None, None, None)


async def test_large_bodies_that_complete_together_do_not_stop_others(queue: Queue) -> None:
    async with serving(create_app(services_of(queue))) as url:
        held = [connection(url) for _ in range(50)]
        clients = [await client.__aenter__() for client in held]
        for client in clients:
            await client.send(post(ANYTHING_LARGE)[:-1])
        for client in clients:
            client.writer.write(ANYTHING_LARGE[-1:])
        began = asyncio.get_running_loop().time()
        async with connection(url) as client:
            await client.send(LIVE)
            assert (await client.answer()).status == 200
        assert asyncio.get_running_loop().time() - began < 1
        assert {(await client.answer()).status for client in clients} <= {202, 429, 503}
        for client in held:
            await client.__aexit__(None, None, None)


@pytest.mark.alone
async def test_very_small_chunks_do_not_stop_others(queue: Queue) -> None:
    small = b"".join(b"1\r\n%c\r\n" % byte for byte in ANYTHING_LARGE[:200_000])
    async with serving(create_app(services_of(queue))) as url:
        held = [connection(url) for _ in range(50)]
        clients = [await client.__aenter__() for client in held]
        began = asyncio.get_running_loop().time()
        for client in clients:
            client.writer.write(post(small, "Transfer-Encoding: chunked", length=False))
        async with connection(url) as client:
            await client.send(LIVE, post(chunked(TASK), "Transfer-Encoding: chunked", length=False))
            assert [(await client.answer()).status for _ in range(2)] == [200, 202]
        assert asyncio.get_running_loop().time() - began < 1
        for client in held:
            await client.__aexit__(None, None, None)


# Descriptors.


async def test_out_of_descriptors(queue: Queue, caplog: pytest.LogCaptureFixture) -> None:
    """One line, no traceback, and it goes on by itself when there are descriptors again."""
    async with serving(create_app(services_of(queue))) as url:
        async with connection(url) as client:
            await client.send(LIVE)
            assert (await client.answer()).status == 200
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        waiting = [socket.socket() for _ in range(40)]
        highest = max(map(int, os.listdir("/proc/self/fd")))  # noqa: PTH208 - ASYNC240 forbids Path here
        for each in waiting:
            each.setblocking(False)
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 2, hard))
        filled = []
        try:
            while True:
                filled.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        try:
            address = url.removeprefix("http://").split(":")
            for each in waiting:
                each.connect_ex((address[0], int(address[1])))
            refused = "descriptors_exhausted"
            await until(lambda: [record for record in caplog.records if record.message == refused])
            await asyncio.sleep(0.5)  # In half a second asyncio would have logged thousands of lines.
            assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == [refused]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for descriptor in filled:
                os.close(descriptor)
            for each in waiting:
                each.close()
        async with connection(url) as client:
            await client.send(post(TASK))
            assert (await client.answer()).status == 202


async def test_a_newcomer_takes_the_place_of_an_idle_connection_where_descriptors_ran_out(queue: Queue) -> None:
    async with serving(create_app(services_of(queue))) as url, connection(url) as idle:
        await idle.send(LIVE)
        assert (await idle.answer()).status == 200
        newcomer = socket.socket()
        newcomer.settimeout(0)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(map(int, os.listdir("/proc/self/fd")))  # noqa: PTH208 - ASYNC240 forbids Path here
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        filled = []
        try:
            with suppress(OSError):
                while True:
                    filled.append(os.open(os.devnull, os.O_RDONLY))
            loop, address = asyncio.get_running_loop(), urlsplit(url)
            async with asyncio.timeout(10):
                await loop.sock_connect(newcomer, (address.hostname, address.port))
                await loop.sock_sendall(newcomer, LIVE)
                assert (await loop.sock_recv(newcomer, 1000)).startswith(b"HTTP/1.1 200")
            assert await idle.ended() == b""
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            newcomer.close()
            for descriptor in filled:
                os.close(descriptor)


def test_the_soft_limit_of_descriptors_is_raised(data_directory: Path) -> None:
    with ServiceProcess(data_directory, descriptors=(100, 2000), concurrency=1) as service:
        limits = Path(f"/proc/{service.process.pid}/limits").read_text()
    assert re.search(r"^Max open files +2000 +2000 ", limits, re.MULTILINE)


# Answers.


async def test_large_results_that_nobody_reads_have_a_bound_in_sum(
    queue: Queue, redis_client: Redis, instance: str
) -> None:
    """Those that wait for longest are dropped, and one who reads gets all of it."""
    stored = b'"' + b"x" * 8 * MIB + b'"'
    async with serving(create_app(services_of(queue)), unread_bytes=10 * MIB) as url:
        async with httpx.AsyncClient(base_url=url) as client:
            task_id = (await client.post("/api/tasks", json=json.loads(TASK))).json()["task"]["task_id"]
            await client.delete(f"/api/tasks/{task_id}")
            await redis_client.set(f"{key_prefix(instance)}body:{task_id}", stored)
            path = f"/api/tasks/{task_id}/result"
            held = [connection(url, limit=1024) for _ in range(12)]
            silent = [await each.__aenter__() for each in held]
            for each in silent:
                await each.send(LIVE.replace(b"/livez", path.encode()))
                head = await each.reader.readuntil(b"\r\n\r\n")  # What follows is more than the reader's limit.
                assert head.startswith(b"HTTP/1.1 200")
            await until(lambda: sum(map(gone, silent)) >= 6)
            assert (await client.get(path)).content == stored
        for each in held:
            await each.__aexit__(None, None, None)


async def test_a_file_that_nobody_reads_takes_no_descriptor(queue: Queue) -> None:
    request = LIVE.replace(b"/livez", b"/docs/assets/swagger-ui-bundle.js")
    async with serving(create_app(services_of(queue))) as url, connection(url) as first:
        await first.send(request)
        size = len((await first.answer()).body)
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - ASYNC240 forbids Path here
        held = [connection(url, limit=1024) for _ in range(10)]
        for each in held:
            client = await each.__aenter__()
            await client.send(request * (8 * MIB // size))
            await client.reader.readuntil(b"\r\n\r\n")
        assert len(os.listdir("/proc/self/fd")) == before + 2 * len(held)  # noqa: PTH208 - see above
        for each in held:
            await each.__aexit__(None, None, None)
