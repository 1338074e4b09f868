"""Messages below ASGI: every part of one is bounded, and what follows a request is answered. Raw bytes on sockets."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from api.web.application import create_app
from api.web.request_head import MAX_HEAD_BYTES
from tests.support.raw import LIVE, TASK, chunked, connection, post
from tests.support.web import services_of, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from api.queue.queue import Queue

H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
CHUNKED = "Transfer-Encoding: chunked"
MIB = 2**20


@pytest.fixture
async def url(queue: Queue) -> AsyncIterator[str]:
    async with serving(create_app(services_of(queue, cors_origins=("https://a.example",)))) as url:
        yield url


# Upgrades, pipelining and half-closed connections.


@pytest.mark.parametrize("fields", [H2C, ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
                                    ("Connection: Upgrade", "Upgrade: h2c, foo/2")])  # fmt: skip
async def test_an_upgrade_is_ignored_and_the_body_read(url: str, fields: tuple[str, ...]) -> None:
    async with connection(url) as client:
        await client.send(post(TASK, *fields), post(chunked(TASK), *fields, CHUNKED, length=False), LIVE)
        assert [(await client.answer()).status for _ in range(3)] == [202, 202, 200]


async def test_an_upgrade_with_its_body_in_another_segment(url: str) -> None:
    """As the HTTP client of the JDK sends it."""
    async with connection(url) as client:
        sent = post(TASK, *H2C)
        await client.send(sent[: -len(TASK)])
        await client.send(TASK[:10])
        await client.send(TASK[10:] + LIVE)
        assert [(await client.answer()).status for _ in range(2)] == [202, 200]


@pytest.mark.parametrize("path", ["/", "/livez", "/docs", "/nope"])
async def test_an_upgrade_of_any_route_is_answered_as_without(url: str, path: str) -> None:
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    async with connection(url) as client:
        await client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n".encode() + LIVE)
        assert [(await client.answer()).status for _ in range(2)] == [404 if path == "/nope" else 200, 200]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not there")
async def test_curl_that_asks_for_http_2(url: str) -> None:
    curl = ["curl", "-s", "--http2", "-m", "10", "-H", "Content-Type: application/json", "-d", TASK.decode()]
    done = await asyncio.to_thread(
        subprocess.run, [*curl, f"{url}/api/tasks"], check=True, capture_output=True, text=True
    )
    assert json.loads(done.stdout)["task"]["task_status"] == "queued"


async def test_many_pipelined_requests_are_answered_in_order(url: str) -> None:
    async with connection(url) as client:
        await client.send((LIVE + post() + LIVE.replace(b"/livez", b"/nope")) * 100)
        for _ in range(100):
            assert [(await client.answer()).status for _ in range(3)] == [200, 202, 404]


async def test_a_client_that_closes_its_sending_side_gets_its_answers(url: str) -> None:
    async with connection(url) as client:
        await client.send(post() + LIVE)
        client.writer.write_eof()
        assert [(await client.answer()).status for _ in range(2)] == [202, 200]
        assert await client.ended() == b""


async def test_one_that_closes_it_while_a_slow_route_answers(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()
    read = queue.read

    async def slow(task_id: str) -> object:
        asked.set()
        await go_on.wait()
        return await read(task_id)

    monkeypatch.setattr(queue, "read", slow)
    async with serving(create_app(services_of(queue))) as url, connection(url) as client:
        await client.send(LIVE.replace(b"/livez", b"/api/tasks/01a21244-d648-7000-ab85-19190c5f608e"))
        await asked.wait()
        client.writer.write_eof()
        await asyncio.sleep(0)
        go_on.set()
        assert (await client.answer()).status == 404
        assert await client.ended() == b""


async def test_an_unfinished_request_of_a_closed_side_is_not_waited_for(url: str) -> None:
    for sent in (b"GET / HTTP/1.1\r\n", post()[:-1]):
        async with connection(url) as client:
            await client.send(sent)
            client.writer.write_eof()
            assert await client.ended() == b""


# Sizes.


@pytest.mark.parametrize("segment", [1000, 10**6])
async def test_a_head_has_the_same_limit_in_any_segments(url: str, segment: int) -> None:
    for size, status in ((MAX_HEAD_BYTES, 200), (MAX_HEAD_BYTES + 1, 431), (120_000, 431)):
        fixed = LIVE.removesuffix(b"\r\n") + b"X: \r\n\r\n"
        sent = fixed.replace(b"X: ", b"X: " + b"y" * (size - len(fixed)))
        assert len(sent) == size
        async with connection(url) as client:
            await client.send(*(sent[begin : begin + segment] for begin in range(0, size, segment)))
            assert (await client.answer()).status == status


async def test_the_number_of_headers_is_bounded(url: str) -> None:
    for number, status in ((99, 200), (100, 431)):
        async with connection(url) as client:
            await client.send(LIVE.removesuffix(b"\r\n") + b"X: y\r\n" * number + b"\r\n")
            assert (await client.answer()).status == status


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"0\r\n", b"X: " + b"y" * 100 + b"\r\n"),
        (b"0\r\nX: ", b"y" * 1000),
        (b"1;", b"a" * 1000),
        (b"", b"0" * 1000),
        (b"1\r\n", b"x" * 1000),
    ],
)
async def test_endless_parts_of_chunks_cost_neither_memory_nor_time(url: str, begin: bytes, more: bytes) -> None:
    """25 MB of trailers took 950 MB, and one endless trailer all the time of the event loop."""
    async with connection(url) as client:
        await client.send(post(begin, CHUNKED, length=False))
        tracemalloc.start()
        try:
            for _ in range(1000):
                await client.send(more * 25)
                if client.reader.at_eof() or client.writer.is_closing():
                    break
        except ConnectionError:
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8 * MIB
    async with connection(url) as client:
        await client.send(LIVE)
        assert (await client.answer()).status == 200


async def test_a_refusal_arrives_though_more_was_sent(url: str) -> None:
    for sent in (
        post(b"0\r\n" + b"X: y\r\n" * 5000, CHUNKED, length=False),
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 500_000,
        b"GET / HTTP/2.0\r\n\r\n" + b"x" * 500_000,
    ):
        async with connection(url) as client:
            await client.send(sent)
            assert (await client.answer()).status in (400, 431)
            assert await client.ended() == b""


async def test_trailers_and_extensions_are_dropped(url: str) -> None:
    sent = b"5;a=b\r\n" + TASK[:5] + b"\r\n" + chunked(TASK[5:], end=b"0;x\r\nX-Trailer: y\r\n\r\n")
    async with connection(url) as client:
        await client.send(post(sent, CHUNKED, length=False), LIVE)
        assert [(await client.answer()).status for _ in range(2)] == [202, 200]


async def test_very_many_small_chunks(url: str) -> None:
    """They are read in steps; what follows them is answered."""
    sent = chunked(*(bytes([byte]) for byte in TASK + b" " * 5_000))
    async with connection(url) as client:
        await client.send(post(sent, CHUNKED, length=False), LIVE)
        assert [(await client.answer()).status for _ in range(2)] == [202, 200]
    async with connection(url) as client:
        await client.send(post(sent, CHUNKED, length=False))
        client.writer.write_eof()
        assert (await client.answer()).status == 202


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT"])
@pytest.mark.parametrize("path", ["/livez", "/nope", "/api/tasks/01a21244-d648-7000-ab85-19190c5f608e"])
async def test_a_body_is_bounded_where_none_is_taken(url: str, method: str, path: str) -> None:
    line = f"{method} {path} HTTP/1.1\r\nHost: x\r\n"
    async with connection(url) as client:
        await client.send(f"{line}Content-Length: {MIB}\r\n\r\n".encode() + b"x" * MIB, LIVE)
        assert (await client.answer()).status in (200, 404, 405)
        assert (await client.answer()).status == 200
        await client.send(f"{line}Content-Length: {MIB + 1}\r\n\r\n".encode())
        assert (await client.answer()).status == 413


async def test_a_body_announced_by_expect(url: str) -> None:
    sent = post(TASK, "Expect: 100-continue")
    async with connection(url) as client:
        await client.send(sent[: -len(TASK)])
        assert (await client.answer()).status == 100
        await client.send(TASK, LIVE)
        assert [(await client.answer()).status for _ in range(2)] == [202, 200]


# What is refused, and how.


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400, "invalid_http"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400, "invalid_http"),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 400, "invalid_http"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "invalid_http"),
        (b"GET /\r\n", 400, "invalid_http"),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400, "invalid_http"),
        (b"GET / HTTP/1.1\r\nHost: x\n\n", 400, "invalid_http"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "invalid_http"),
        (post(TASK, "Transfer-Encoding: gzip, chunked", length=False), 501, "unsupported_coding"),
        (post(chunked(TASK), CHUNKED), 400, "invalid_http"),
        (post(b"zz\r\n", CHUNKED, length=False), 400, "invalid_http"),
        (post(b"1\r\nxx\r\n", CHUNKED, length=False), 400, "invalid_http"),
    ],
)
async def test_what_is_refused(url: str, sent: bytes, status: int, code: str) -> None:
    async with connection(url) as client:
        await client.send(sent)
        answer = await client.answer()
        assert (answer.status, answer.code) == (status, code)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["connection"] == "close"
        assert await client.ended() == b""


async def test_http_1_0_needs_no_host(url: str) -> None:
    async with connection(url) as client:
        await client.send(b"GET /livez HTTP/1.0\r\n\r\n")
        assert (await client.answer()).status == 200
        assert await client.ended() == b""


async def test_a_smuggled_request_is_not_answered(url: str) -> None:
    """The body of the outer one is refused with all that is in it, whichever length a proxy before us believed."""
    for fields in (
        ("Content-Length: 4", CHUNKED),
        ("Content-Length: 5, 5",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding : chunked",),
        ("Content-Length: 0", "Content-Length: 5"),
    ):
        async with connection(url) as client:
            await client.send(post(chunked() + LIVE, *fields, length=False))
            assert (await client.answer()).status == 400
            assert await client.ended() == b""


async def test_problems_of_a_message_carry_cors(url: str) -> None:
    origin = "Origin: https://a.example"
    for sent, status in (
        (post(b"x", origin, f"Content-Length: {2 * MIB}", length=False), 413),
        (post(b"zz\r\n", origin, CHUNKED, length=False), 400),
    ):
        async with connection(url) as client:
            await client.send(sent)
            answer = await client.answer()
            assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, "https://a.example")
