"""The HTTP interface as clients meet it: a real server on loopback, a real Valkey behind it. Cases by their ids."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import httpx
import jsonschema_rs
import pytest

from api.core.task import Reason
from api.queue.conclude import conclude
from api.queue.queue import Queue
from api.queue.shapes import QueueLimits, Retention, Slot
from api.web import schemas
from api.web.application import create_app
from api.web.openapi import VERSION
from api.web.problems import METHODS
from runner.connect import connect_async
from runner.contract import ErrorCode, State, key_prefix
from runner.delivery.guard import Policy
from tests.support.web import TYPES, VALID, services_of, serving, web_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from tests.support.valkey import ValkeyServer

UNKNOWN_ID = schemas.EXAMPLE_ID
TASK_BYTES = 1024
ANYTHING = {"result_url": None, "task_type": "anything"}


@pytest.fixture
async def client(queue: Queue) -> AsyncIterator[httpx.AsyncClient]:
    async with web_client(services_of(queue)) as client:
        yield client


async def submit(client: httpx.AsyncClient, **members: Any) -> dict[str, Any]:
    response = await client.post("/api/tasks", json={**VALID, **members})
    assert response.status_code == 202, response.text
    return response.json()["task"]


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """What every problem has."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    assert body["code"] == code
    assert body["type"] == "about:blank"
    assert body["title"]
    assert body["detail"]
    return body


def pointers(response: httpx.Response, code: str = "invalid_request") -> list[str]:
    return [error["pointer"] for error in problem(response, 400, code)["errors"]]


async def post_raw(
    client: httpx.AsyncClient, body: bytes, content_type: str | None = "application/json"
) -> httpx.Response:
    headers = {} if content_type is None else {"Content-Type": content_type}
    return await client.post("/api/tasks", content=body, headers=headers)


async def talk(client: httpx.AsyncClient, sent: bytes) -> bytes:
    """Send bytes on a connection of their own, and return all that comes until the server ends it."""
    reader, writer = await _connect(client)
    writer.write(sent)
    received = await reader.read()
    writer.close()
    await writer.wait_closed()
    return received


async def _connect(client: httpx.AsyncClient) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(client.base_url.host, client.base_url.port)


# Submitting.


async def test_submit_answers_with_the_task_and_its_place(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/tasks", json={**VALID, "result_url": "http://u:p@example.com/r"})
    assert response.status_code == 202
    assert response.headers["cache-control"] == "no-store"
    body = response.json()
    assert list(body) == ["task", "queue_position"]
    assert list(body["task"]) == list(schemas.Task.model_fields)
    assert body["queue_position"] == body["task"]["queue_position"] == 1
    assert body["task"] | {"task_id": "", "created_at": ""} == {
        "task_id": "", "task_type": "fibonacci", "task_status": "queued", "task_percent_done": 0.0,
        "queue_position": 1, "priority": 0, "attempt": 0, "suspensions": 0, "attempts": [], "progress_message": None,
        "created_at": "", "started_at": None, "finished_at": None,
        "waiting_reason": None, "error": None, "result_url": "http://u:***@example.com/r",
        "delivery": {"status": "waiting", "attempts": 0, "next_at": None, "last_error": None},
    }  # fmt: skip
    location = response.headers["location"]
    assert location == f"tasks/{body['task']['task_id']}"
    assert (await client.get(urljoin(str(response.url), location))).json()["task_id"] == body["task"]["task_id"]


async def test_what_is_submitted_is_what_the_queue_holds(
    client: httpx.AsyncClient, redis_client: Redis, instance: str
) -> None:
    url = "https://user:p%40ss@Example.COM:443/a?b=%C3%BC"
    task = await submit(client, result_url=url, priority=7, timeout_seconds=2.5)
    record = await redis_client.hgetall(f"{key_prefix(instance)}task:{task['task_id']}")
    assert record[b"result_url"] == url.encode()
    assert (record[b"priority"], record[b"timeout"]) == (b"7", b"2500")
    assert await redis_client.get(f"{key_prefix(instance)}input:{task['task_id']}") == b'{"n":10}'


async def test_no_callback(client: httpx.AsyncClient) -> None:
    assert (await submit(client, result_url=None))["delivery"]["status"] == "none"
    response = await client.post("/api/tasks", json={"task_type": "fibonacci", "task_input": {"n": 1}})
    assert pointers(response) == ["/result_url"]


async def test_everything_wrong_is_named_at_once(client: httpx.AsyncClient) -> None:
    body = {"result_url": "nope", "task_type": "fibonacci", "task_input": {"m": 1}, "priority": True, "extra": 1}
    response = await client.post("/api/tasks", json=body)
    assert sorted(pointers(response)) == ["/extra", "/priority", "/result_url", "/task_input/m", "/task_input/n"]
    assert (await client.get("/api/tasks")).json() == []


async def test_p02_integers_past_64_bits(client: httpx.AsyncClient, redis_client: Redis, instance: str) -> None:
    for literal in ("18446744073709551616", "-9223372036854775809", "1" + "0" * 4000):
        body = f'{{"result_url":null,"task_type":"anything","task_input":{{"n":{literal}}}}}'
        response = await post_raw(client, body.encode())
        assert response.status_code == 202
        task_id = response.json()["task"]["task_id"]
        assert await redis_client.get(f"{key_prefix(instance)}input:{task_id}") == f'{{"n":{literal}}}'.encode()
        assert (await client.get(f"/api/tasks/{task_id}")).status_code == 200
        refused = await post_raw(client, body.replace("anything", "fibonacci").encode())
        assert pointers(refused) == ["/task_input/n"]
    assert pointers(await post_raw(client, b'{"n":1e400}'), "invalid_json") == ["/n"]
    assert len((await client.get("/api/tasks")).json()) == 3


async def test_p03_a_literal_of_4301_digits(client: httpx.AsyncClient) -> None:
    body = b'{"result_url":null,"task_type":"anything","task_input":{"n":[%s]}}'
    assert (await post_raw(client, body % (b"9" * 4300))).status_code == 202
    response = await post_raw(client, body % (b"9" * 4301))
    assert pointers(response, "invalid_json") == ["/task_input/n/0"]
    assert "4300 digits" in response.text


@pytest.mark.parametrize("value", [0, 1, 2, 93, 94, 10.0])
async def test_p04_taken(client: httpx.AsyncClient, value: float) -> None:
    await submit(client, task_input={"n": value})


async def test_p04_refused(client: httpx.AsyncClient) -> None:
    for value in (-1, True, False, "10", 10.5, None, [], {}):
        response = await client.post("/api/tasks", json={**VALID, "task_input": {"n": value}})
        assert pointers(response) == ["/task_input/n"]
    for body in ('{"seconds": 1e308}', '{"seconds": 1000000000000000000}', '{"seconds": -1}', '{"seconds": true}'):
        raw = f'{{"result_url": null, "task_type": "sleep", "task_input": {body}}}'
        assert pointers(await post_raw(client, raw.encode())) == ["/task_input/seconds"]


@pytest.mark.parametrize("depth", [50, 100])
async def test_p06_nested_within_the_limit(client: httpx.AsyncClient, depth: int) -> None:
    body = '{"result_url": null, "task_type": "anything", "task_input": ' + "[" * depth + "]" * depth + "}"
    assert (await post_raw(client, body.encode())).status_code == 202


@pytest.mark.parametrize("depth", [101, 1_000, 5_000, 20_000, 100_000])
async def test_p06_nested_beyond_it(client: httpx.AsyncClient, depth: int) -> None:
    for begin, end in (("[", "]"), ('{"a":', "}")):
        inner = begin * depth + ("1" if end == "}" else "") + end * depth
        began = time.monotonic()
        response = await post_raw(client, f'{{"result_url":null,"task_type":"anything","task_input":{inner}}}'.encode())
        assert time.monotonic() - began < 1
        assert "100 levels" in problem(response, 400, "invalid_json")["detail"]
    await submit(client)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"task_type":"sleep","task_type":"fibonacci","result_url":null}', "invalid_json"),
        (b'{"result_url":null} x', "invalid_json"),
        (b"{}{}", "invalid_json"),
        (b"\xef\xbb\xbf{}", "invalid_json"),
        (b"", "invalid_json"),
        (b'{"a":"\\ud800"}', "invalid_json"),
        (b'{"a":"\xff"}', "invalid_json"),
        (b'{"a":NaN}', "invalid_json"),
        (b"[]", "invalid_request"),
        (b"null", "invalid_request"),
        (b'"str"', "invalid_request"),
    ],
)
async def test_p09_what_is_no_submission(client: httpx.AsyncClient, body: bytes, code: str) -> None:
    problem(await post_raw(client, body), 400, code)
    assert (await client.get("/api/tasks")).headers["x-total-count"] == "0"


async def test_p09_a_nul_is_kept(client: httpx.AsyncClient, redis_client: Redis, instance: str) -> None:
    task = await submit(client, **ANYTHING, task_input={"t": "a\x00b"})
    assert await redis_client.get(f"{key_prefix(instance)}input:{task['task_id']}") == b'{"t":"a\\u0000b"}'


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json", "application/json; charset=utf-8", "Application/JSON", 'application/json;charset="UTF-8"',
        "application/vnd.x+json", 'application/json ; a=b; c="d;e"', "application/json;",
        None, "application/x-www-form-urlencoded", "Application/X-WWW-Form-URLEncoded; charset=UTF-8",
    ],
)  # fmt: skip
async def test_p10_content_types_that_are_taken(client: httpx.AsyncClient, content_type: str | None) -> None:
    assert (await post_raw(client, json.dumps(VALID).encode(), content_type)).status_code == 202


@pytest.mark.parametrize(
    "content_type",
    [
        "", "text/plain", "application/json; charset=utf-16", "text/json",
        "application/jsonp", "application/+json", "multipart/form-data; boundary=x", "application/json, text/plain",
        "application/json; charset=utf-8; charset=latin-1", "application/x-www-form-urlencoded; charset=latin-1",
        "application/x-www-form-urlencoded2", "x" * 5000,
    ],
)  # fmt: skip
async def test_p10_content_types_that_are_not(client: httpx.AsyncClient, content_type: str) -> None:
    response = await post_raw(client, json.dumps(VALID).encode("utf-16"), content_type)
    detail = problem(response, 415, "unsupported_media_type")["detail"]
    assert "`Content-Type: application/json`" in detail
    assert f"The Content-Type is {content_type[:100]!r}." in detail
    assert response.headers["accept-post"] == "application/json"


async def test_p10_two_content_types(client: httpx.AsyncClient) -> None:
    headers = [("Content-Type", "application/json"), ("Content-Type", "text/plain")]
    problem(await client.post("/api/tasks", content=b"{}", headers=headers), 415, "unsupported_media_type")


@pytest.mark.parametrize("path", ["/api/tasks", "/api/deliveries/redeliver", f"/api/tasks/{UNKNOWN_ID}/redeliver"])
@pytest.mark.parametrize("content_type", [None, "application/x-www-form-urlencoded"])
async def test_p10_a_browser_has_to_say_that_it_is_json(
    client: httpx.AsyncClient, path: str, content_type: str | None
) -> None:
    """What is not JSON by its type can be sent by any page, without a question from the browser to the service."""
    here = str(client.base_url).rstrip("/")
    typed = {} if content_type is None else {"Content-Type": content_type}
    for mark in (
        {"Origin": here},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Referer": "https://evil.example/"},
        {"referer": ""},
    ):
        response = await client.post(path, content=json.dumps(VALID), headers=typed | mark)
        detail = problem(response, 415, "unsupported_media_type")["detail"]
        assert f"the header {next(iter(mark)).lower()} " in detail.lower()
        assert (await client.post("/api/tasks", json=VALID, headers=mark)).status_code == 202
    evil = await client.post(path, content=json.dumps(VALID), headers=typed | {"Origin": "https://evil.example"})
    problem(evil, 403, "cross_site")


async def test_p10_a_form_is_not_a_task(client: httpx.AsyncClient) -> None:
    form = await client.post("/api/tasks", data={"task_type": "fibonacci", "result_url": "http://example.com/"})
    empty = await client.post("/api/tasks")
    for answer, what in ((form, "not JSON"), (empty, "empty"), (await post_raw(client, b"  fibonacci"), "not JSON")):
        detail = problem(answer, 400, "invalid_json")["detail"]
        assert f"The body is {what}" in detail and "Send a JSON object, such as {" in detail
    assert "Send" not in problem(await post_raw(client, b'{"result_url": x}'), 400, "invalid_json")["detail"]
    assert (await client.get("/api/tasks")).json() == []


@pytest.mark.parametrize("url", ["http://....127.0.0.1:8082/", "http:www.google.com", "http://h:0/", "", " http://x"])
async def test_u12_bad_urls(client: httpx.AsyncClient, url: str) -> None:
    assert pointers(await client.post("/api/tasks", json={**VALID, "result_url": url})) == ["/result_url"]


async def test_loopback_callbacks_are_a_setting(client: httpx.AsyncClient, queue: Queue) -> None:
    body = {**VALID, "result_url": "http://2130706433:9/"}
    assert pointers(await client.post("/api/tasks", json=body)) == ["/result_url"]
    async with web_client(services_of(queue, callback_policy=Policy(allow_loopback=True))) as permissive:
        assert (await permissive.post("/api/tasks", json=body)).status_code == 202


# The body's limit.


def padded(size: int) -> bytes:
    body = json.dumps({**ANYTHING, "task_input": ""}).encode()
    return body[:-2] + b"x" * (size - len(body)) + b'"}'


async def test_a_body_of_a_mebibyte(client: httpx.AsyncClient) -> None:
    assert (await post_raw(client, padded(2**20))).status_code == 202
    for size in (2**20 + 1, 2**23):
        problem(await post_raw(client, padded(size)), 413, "body_too_large")
    await submit(client)


async def test_a_chunked_body_of_more(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 2**16

    headers = {"Content-Type": "application/json"}
    problem(await client.post("/api/tasks", content=chunks(), headers=headers), 413, "body_too_large")


async def test_a_chunked_body_without_an_end(client: httpx.AsyncClient) -> None:
    reader, writer = await _connect(client)
    writer.write(
        b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"100001\r\n%b\r\n" % (b" " * (2**20 + 1))
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in head.lower()
    writer.close()
    await writer.wait_closed()


async def test_an_announced_length_is_refused_before_it_comes(client: httpx.AsyncClient) -> None:
    received = await talk(
        client,
        b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
        b"Content-Length: 99999999999\r\n\r\n",
    )
    assert received.startswith(b"HTTP/1.1 413")
    assert received.endswith(b"}")


async def test_a_refused_body_passes_by_only_so_far(client: httpx.AsyncClient) -> None:
    reader, writer = await _connect(client)
    writer.write(
        b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n"
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413")
    with pytest.raises(ConnectionError):
        await _write_on(writer)
    writer.close()


async def _write_on(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b" " * 2**20)
        await writer.drain()


async def test_a01_a_client_that_goes_away_leaves_nothing(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await _connect(client)
    writer.write(
        b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert await reader.read() == b""
    assert (await client.get("/api/tasks")).json() == []
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a01_a_client_that_does_not_wait_for_the_answer(client: httpx.AsyncClient, queue: Queue) -> None:
    body = json.dumps(VALID).encode()
    _, writer = await _connect(client)
    writer.write(
        b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        % (len(body), body)
    )
    writer.close()
    await writer.wait_closed()
    claim = await queue.claim(4, {"fibonacci": None})
    listed = [task["task_id"] for task in (await client.get("/api/tasks")).json()]
    assert claim is None or claim.attempt_id.task_id in listed


# Idempotency.


async def test_a01_twenty_at_once_make_one_task(client: httpx.AsyncClient) -> None:
    """Where the machine is too busy for Redis to answer in time, a 503 says so, and the key makes another try safe."""
    headers = {"Idempotency-Key": "order-4711"}

    async def submit() -> httpx.Response:
        for _ in range(20):
            answer = await client.post("/api/tasks", json=VALID, headers=headers)
            if answer.status_code != 503:
                break
        return answer

    answers = await asyncio.gather(*(submit() for _ in range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["task"]["task_id"] for answer in answers}) == 1
    assert sum(answer.headers.get("idempotent-replayed") == "true" for answer in answers) >= 19
    assert len((await client.get("/api/tasks")).json()) == 1


async def test_a01_the_same_key_is_the_same_json(client: httpx.AsyncClient, queue: Queue) -> None:
    headers = {"Idempotency-Key": "!" * 255, "Content-Type": "application/json"}
    first = await client.post("/api/tasks", json=VALID, headers=headers)
    spaced = json.dumps(dict(reversed(VALID.items())), indent=2).encode()
    async with web_client(services_of(queue)) as restarted:
        again = await restarted.post("/api/tasks", content=spaced, headers=headers)
    assert again.status_code == 202
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json()
    other = await client.post("/api/tasks", json={**VALID, "priority": 1}, headers=headers)
    assert first.json()["task"]["task_id"] in problem(other, 409, "idempotency_conflict")["detail"]


async def test_a01_no_key_makes_two_tasks(client: httpx.AsyncClient) -> None:
    assert (await submit(client))["task_id"] != (await submit(client))["task_id"]


async def test_a_key_of_a_task_that_is_no_longer_kept(client: httpx.AsyncClient, queue: Queue) -> None:
    headers = {"Idempotency-Key": "k"}
    task_id = (await client.post("/api/tasks", json=VALID, headers=headers)).json()["task"]["task_id"]
    await client.delete(f"/api/tasks/{task_id}")
    assert (await queue.sweep(Retention(3600, 0, 0, 0))).forgotten == 1
    response = await client.post("/api/tasks", json=VALID, headers=headers)
    assert task_id in problem(response, 410, "task_expired")["detail"]


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 256])
async def test_keys_that_are_none(client: httpx.AsyncClient, key: str) -> None:
    response = await client.post("/api/tasks", json=VALID, headers=[("Idempotency-Key", key.encode("latin-1"))])
    problem(response, 400, "invalid_idempotency_key")


async def test_two_keys(client: httpx.AsyncClient) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "a")]
    problem(await client.post("/api/tasks", json=VALID, headers=headers), 400, "invalid_idempotency_key")


@pytest.mark.parametrize(("limits", "word"), [(QueueLimits(1, 10**6), "tasks"), (QueueLimits(10, 15), "bytes")])
async def test_a_full_queue(queue: Queue, limits: QueueLimits, word: str) -> None:
    async with web_client(services_of(queue, queue_limits=limits)) as client:
        await submit(client)
        response = await client.post("/api/tasks", json=VALID)
        assert word in problem(response, 429, "queue_full")["detail"]
        assert int(response.headers["retry-after"]) > 0


# Listing.


async def test_the_list_is_paged_without_gaps_while_tasks_arrive(client: httpx.AsyncClient) -> None:
    submitted = [(await submit(client))["task_id"] for _ in range(7)]
    seen: list[str] = []
    url: str | None = "/api/tasks?limit=3&status=queued,running&task_type=fibonacci"
    while url:
        response = await client.get(url)
        assert response.status_code == 200
        assert response.headers["cache-control"] == "no-store"
        seen += [task["task_id"] for task in response.json()]
        submitted.append((await submit(client))["task_id"])
        assert response.headers["x-total-count"] == str(len(submitted) - 1)
        following = response.links.get("next")
        url = None if following is None else urljoin(str(response.url), following["url"])
        assert following is None or "status=queued,running&task_type=fibonacci" in following["url"]
    assert seen == submitted[6::-1]
    assert list(response.json()[0]) == list(schemas.TaskSummary.model_fields)


async def test_filters(client: httpx.AsyncClient) -> None:
    await submit(client)
    cancelled = (await submit(client, task_type="sleep", task_input={"seconds": 0}))["task_id"]
    await client.delete(f"/api/tasks/{cancelled}")
    for query, number in (
        ("", 2), ("?status=queued", 1), ("?status=queued&status=cancelled", 2), ("?status=done,failed", 0),
        ("?task_type=sleep", 1), ("?task_type=sleep&status=queued", 0), ("?task_type=no-such-type", 0),
    ):  # fmt: skip
        response = await client.get(f"/api/tasks{query}")
        assert (len(response.json()), response.headers["x-total-count"]) == (number, str(number)), query


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("limit=0", ["/limit"]),
        ("limit=1001", ["/limit"]),
        ("cursor=..", ["/cursor"]),
        ("status=queued,nope", ["/status"]),
        ("offset=3&limit=x", ["/offset", "/limit"]),
        ("%00=%ff", ["/\x00"]),
    ],
)
async def test_bad_queries(client: httpx.AsyncClient, query: str, found: list[str]) -> None:
    assert pointers(await client.get(f"/api/tasks?{query}"), "invalid_query") == found


async def test_r07_the_list_outlives_records_that_are_gone(
    client: httpx.AsyncClient, queue: Queue, redis_client: Redis, instance: str
) -> None:
    tasks = [(await submit(client))["task_id"] for _ in range(5)]
    await redis_client.delete(f"{key_prefix(instance)}task:{tasks[2]}")
    assert [task["task_id"] for task in (await client.get("/api/tasks")).json()] == [*tasks[:2:-1], tasks[1], tasks[0]]
    assert (await client.get("/api/tasks")).headers["x-total-count"] == "4"
    for task_id in tasks[:2]:
        await client.delete(f"/api/tasks/{task_id}")
    assert (await queue.sweep(Retention(3600, 0, 0, 0))).forgotten == 2
    response = await client.get("/api/tasks")
    assert [task["task_id"] for task in response.json()] == tasks[:2:-1]
    assert response.headers["x-total-count"] == "2"
    problem(await client.get(f"/api/tasks/{tasks[0]}"), 404, "task_not_found")
    problem(await client.get(f"/api/tasks/{tasks[0]}/result"), 410, "result_gone")


# Reading and cancelling one task.


async def test_why_a_task_waits(client: httpx.AsyncClient, queue: Queue) -> None:
    first = await submit(client, task_type="sleep", task_input={"seconds": 1})
    task = await client.get(f"/api/tasks/{first['task_id']}")
    assert task.json()["waiting_reason"]["code"] == "about_to_start"
    for number in range(4):
        await submit(client, priority=10 - number)
        assert await queue.claim(4, {"fibonacci": None})
    await submit(client, priority=1)
    task = await client.get(f"/api/tasks/{first['task_id']}")
    assert task.json()["waiting_reason"] == {
        "code": "no_free_slot",
        "message": "All 4 slots are taken; 1 task is before this one",
    }
    assert task.json()["queue_position"] == 2


async def test_a_type_at_its_limit(client: httpx.AsyncClient, queue: Queue) -> None:
    tasks = [await submit(client, task_type="sleep", task_input={"seconds": 1}) for _ in range(3)]
    for _ in range(2):
        await queue.claim(4, {"sleep": 2})
    running, waiting = [(await client.get(f"/api/tasks/{task['task_id']}")).json() for task in tasks[1:]]
    assert (running["task_status"], running["attempt"], running["waiting_reason"]) == ("starting", 1, None)
    assert waiting["waiting_reason"]["code"] == "type_at_limit"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("[]", [""]),
        ("null", [""]),
        ('{"host": 5, "x": 1}', ["/host", "/x"]),
        ('{"finished_from": "yesterday", "finished_before": "2026-01-01"}', ["/finished_from", "/finished_before"]),
        ('{"finished_from": 1e308}', ["/finished_from"]),
        ('{"cursor": "x"}', ["/cursor"]),
    ],
)
async def test_a_wrong_request_to_send_again_is_told(client: httpx.AsyncClient, body: str, found: list[str]) -> None:
    response = await client.post(
        "/api/deliveries/redeliver", content=body, headers={"content-type": "application/json"}
    )
    assert pointers(response, "invalid_request") == found


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-25T08:00:00Z"])
async def test_any_time_that_there_is_can_be_asked_for(client: httpx.AsyncClient, time: str) -> None:
    for name in ("finished_from", "finished_before"):
        response = await client.post("/api/deliveries/redeliver", json={name: time})
        assert (response.status_code, response.json()) == (202, {"redelivered": 0, "no_room": 0, "cursor": None})


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["/status"]),
        ("status=delivered&limit=0", ["/status", "/limit"]),
        ("status=dead&status=dead&cursor=x&y=1", ["/y", "/status", "/cursor"]),
    ],
)
async def test_a_wrong_query_of_deliveries_is_told(client: httpx.AsyncClient, query: str, found: list[str]) -> None:
    assert pointers(await client.get(f"/api/deliveries?{query}"), "invalid_query") == found


async def test_a_task_whose_type_is_gone(client: httpx.AsyncClient, queue: Queue) -> None:
    task = await submit(client)
    services = services_of(queue)
    async with web_client(replace(services, types=dict)) as other:
        assert (await other.get(f"/api/tasks/{task['task_id']}")).json()["waiting_reason"]["code"] == "about_to_start"


@pytest.mark.parametrize("task_id", [UNKNOWN_ID, UNKNOWN_ID.upper(), "x", "%2e%2e", "%00", "é", "x" * 5000])
async def test_unknown_ids(client: httpx.AsyncClient, task_id: str) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/result"), ("GET", "/log")):
        problem(await client.request(method, f"/api/tasks/{task_id}{path}"), 404, "task_not_found")


async def test_cancel(client: httpx.AsyncClient) -> None:
    task_id = (await submit(client, result_url="http://example.com/"))["task_id"]
    problem(await client.get(f"/api/tasks/{task_id}/result"), 409, "not_ended")
    first = await client.delete(f"/api/tasks/{task_id}")
    assert first.status_code == 200
    assert first.json()["task_status"] == "cancelled"
    assert first.json()["error"]["code"] == "cancelled"
    assert first.json()["delivery"]["status"] == "pending"
    assert first.json()["delivery"]["next_at"]
    assert (await client.delete(f"/api/tasks/{task_id}")).json() == first.json()
    assert (await client.get(f"/api/tasks/{task_id}")).json() == first.json()
    result = await client.get(f"/api/tasks/{task_id}/result")
    assert result.headers["content-type"] == "application/json"
    assert list(result.json()) == list(schemas.Outcome.model_fields)
    assert (result.json()["status"], result.json()["error"]["code"]) == ("cancelled", "cancelled")


async def test_cancel_a_task_that_is_starting(client: httpx.AsyncClient, queue: Queue) -> None:
    task_id = (await submit(client))["task_id"]
    claim = await queue.claim(4, {"fibonacci": None})
    assert claim is not None
    cancelled = (await client.delete(f"/api/tasks/{task_id}")).json()
    assert (cancelled["task_status"], cancelled["attempt"]) == ("cancelled", 1)
    assert await queue.slots() == [Slot(claim.attempt_id, "fibonacci")]


async def test_a_task_that_ended_cannot_be_cancelled(client: httpx.AsyncClient, queue: Queue) -> None:
    task_id = (await submit(client))["task_id"]
    found = await queue.read(task_id)
    assert found is not None
    assert await conclude(queue, found[0], State.FAILED, Reason(ErrorCode.CRASHED, "It crashed"))
    assert not await conclude(queue, found[0], State.FAILED, Reason(ErrorCode.CRASHED, "It crashed"))
    problem(await client.delete(f"/api/tasks/{task_id}"), 409, "task_ended")
    task = (await client.get(f"/api/tasks/{task_id}")).json()
    assert task["error"] == {"code": "crashed", "message": "It crashed"}


async def test_cancel_follows_a_task_that_moves_on(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    async with web_client(services_of(queue)) as client:
        task_id = (await submit(client))["task_id"]
        now_ms = queue.now_ms

        async def claimed_meanwhile() -> int:
            await queue.claim(4, {"fibonacci": None})
            return await now_ms()

        monkeypatch.setattr(queue, "now_ms", claimed_meanwhile)
        assert (await client.delete(f"/api/tasks/{task_id}")).json()["attempt"] == 1


async def test_cancel_gives_up_on_a_task_that_never_holds_still(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> bool:
        return False

    async with web_client(services_of(queue)) as client:
        task_id = (await submit(client))["task_id"]
        monkeypatch.setattr(queue, "conclude", never)
        response = await client.delete(f"/api/tasks/{task_id}")
        problem(response, 503, "unavailable")
        assert response.headers["retry-after"] == "1"


async def test_no_task_ends_before_it_began(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    async def set_back() -> int:
        return 0

    async with web_client(services_of(queue)) as client:
        task = await submit(client)
        monkeypatch.setattr(queue, "now_ms", set_back)
        assert (await client.delete(f"/api/tasks/{task['task_id']}")).json()["finished_at"] == task["created_at"]


async def test_the_result_is_the_stored_bytes(client: httpx.AsyncClient, redis_client: Redis, instance: str) -> None:
    task_id = (await submit(client))["task_id"]
    await client.delete(f"/api/tasks/{task_id}")
    key = f"{key_prefix(instance)}body:{task_id}"
    stored = b'{"result": {"value": 1.10, "x": "\xc3\xa9"}}'
    await redis_client.set(key, stored)
    assert (await client.get(f"/api/tasks/{task_id}/result")).content == stored
    await redis_client.delete(key)
    problem(await client.get(f"/api/tasks/{task_id}/result"), 410, "result_gone")


async def test_task_types(client: httpx.AsyncClient) -> None:
    types = (await client.get("/api/task-types")).json()
    assert [task_type["name"] for task_type in types] == ["anything", "fibonacci", "sleep"]
    assert list(types[0]) == list(schemas.TaskType.model_fields)
    assert types[2]["input_schema"] == TYPES["sleep"].input_schema
    assert (types[2]["concurrency"], types[2]["max_timeout_seconds"]) == (2, 86_460)


# Health and metrics.


async def test_probes(queue: Queue) -> None:
    state: list[str | None] = [None, "Redis does not answer."]

    async def ready() -> str | None:
        return state.pop(0)

    async with web_client(services_of(queue, ready=ready)) as client:
        assert (await client.get("/livez")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).json() == {"status": "ok"}
        assert problem(await client.get("/readyz"), 503, "not_ready")["detail"] == "Redis does not answer."


async def test_metrics(client: httpx.AsyncClient, queue: Queue) -> None:
    await submit(client, task_input={"n": 1})
    await submit(client)
    await queue.claim(4, {"fibonacci": None})
    cancelled = await submit(client, task_type="sleep", task_input={"seconds": 1}, result_url="http://example.com/")
    cancelled_reason = (await client.delete(f"/api/tasks/{cancelled['task_id']}")).json()["error"]["message"]
    response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    lines = response.text.splitlines()
    for line in (
        'taskpost_tasks{state="queued",task_type="fibonacci"} 1.0',
        'taskpost_tasks{state="starting",task_type="fibonacci"} 1.0',
        'taskpost_tasks{state="cancelled",task_type="sleep"} 1.0',
        'taskpost_slots_used{task_type="fibonacci"} 1.0',
        "taskpost_slots_limit 4.0",
        "taskpost_queued_input_bytes 8.0",
        "taskpost_deliveries_due 1.0",
    ):
        assert line in lines
    size = len((await client.get(f"/api/tasks/{cancelled['task_id']}/result")).content)
    size += len("http://example.com/") + len(cancelled_reason) + TASK_BYTES
    assert f"taskpost_stored_body_bytes {size}.0" in lines
    assert f"taskpost_undelivered_bytes {size}.0" in lines
    assert "taskpost_results_dropped_total 0.0" in lines
    assert "taskpost_idempotency_keys 0.0" in lines
    lateness = re.compile(r"^taskpost_delivery_late_seconds [\d.]+$", re.MULTILINE)
    assert lateness.search(response.text)
    assert lateness.sub("", (await client.get("/metrics")).text) == lateness.sub("", response.text)


# Methods and paths.


async def test_a02_trailing_slashes_do_not_exist(client: httpx.AsyncClient) -> None:
    headers = {"X-Forwarded-Proto": "https", "Host": "other.example"}
    problem(await client.post("/api/tasks/", json=VALID, headers=headers), 404, "not_found")
    task_id = (await submit(client))["task_id"]
    for path in ("/api/tasks/", f"/api/tasks/{task_id}/", "/docs//", "/livez/", "//api//tasks", "/api", "/nope"):
        problem(await client.get(path, headers=headers), 404, "not_found")
    received = await talk(client, b"GET //api//tasks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 404")


async def test_a02_head_is_get_without_the_body(client: httpx.AsyncClient) -> None:
    task_id = (await submit(client))["task_id"]
    paths = (
        "/", "/livez", "/readyz", "/metrics", "/docs", "/openapi.json", "/docs/assets/swagger-ui.css", "/nope",
        "/api/tasks", f"/api/tasks/{task_id}", "/api/task-types", f"/api/tasks/{task_id}/result",
        f"/api/tasks/{task_id}/log",
    )  # fmt: skip
    for path in paths:
        get = await client.get(path)
        sent = f"HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        head, _, body = (await talk(client, sent.encode())).partition(b"\r\n\r\n")
        assert body == b""
        assert int(head.split(b" ", 2)[1]) == get.status_code
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        assert fields[b"content-length"] == get.headers["content-length"].encode(), path
        assert fields[b"content-type"] == get.headers["content-type"].lower().encode()


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/tasks", {"GET", "HEAD", "POST"}),
        (f"/api/tasks/{UNKNOWN_ID}", {"DELETE", "GET", "HEAD"}),
        (f"/api/tasks/{UNKNOWN_ID}/result", {"GET", "HEAD"}),
        (f"/api/tasks/{UNKNOWN_ID}/log", {"GET", "HEAD"}),
        ("/api/task-types", {"GET", "HEAD"}),
        ("/", {"GET", "HEAD"}),
        ("/docs/assets/swagger-ui.css", {"GET", "HEAD"}),
    ],
)
async def test_a02_a_wrong_method_is_told_the_right_ones(
    client: httpx.AsyncClient, path: str, allowed: set[str]
) -> None:
    for method in {*METHODS, "OPTIONS", "TRACE"} - allowed:
        headers = {"Origin": "https://example.com", "Access-Control-Request-Method": "GET"}
        response = await client.request(method, path, headers=headers)
        problem(response, 405, "method_not_allowed")
        assert set(response.headers["allow"].split(", ")) == allowed
        assert not [name for name in response.headers if name.startswith("access-control")]


async def test_cors_for_the_origins_of_the_settings(queue: Queue) -> None:
    async with web_client(services_of(queue, cors_origins=("https://a.example",))) as client:
        response = await client.get("/api/tasks", headers={"Origin": "https://a.example"})
        assert response.headers["access-control-allow-origin"] == "https://a.example"
        exposed = set(response.headers["access-control-expose-headers"].split(", "))
        assert exposed == {"Location", "Link", "X-Total-Count", "Retry-After", "Idempotent-Replayed"}
        asking = {"Access-Control-Request-Method": "POST",
                  "Access-Control-Request-Headers": "content-type,idempotency-key"}  # fmt: skip
        allowed = await client.options("/api/tasks", headers={"Origin": "https://a.example", **asking})
        assert allowed.status_code == 200
        assert "POST" in allowed.headers["access-control-allow-methods"]
        refused = await client.options("/api/tasks", headers={"Origin": "https://b.example", **asking})
        assert problem(refused, 400, "cors_refused")["detail"] == "Disallowed CORS origin."
        assert "access-control-allow-origin" not in refused.headers
        problem(await client.options("/api/tasks"), 405, "method_not_allowed")


# Behind a prefix.


@pytest.mark.parametrize("stripped", [True, False])
async def test_a03_all_links_keep_the_prefix(queue: Queue, *, stripped: bool) -> None:
    async with web_client(services_of(queue, root_path="/tasks")) as client:

        def through(url: str) -> str:
            path = urlsplit(url).path
            assert path.startswith("/tasks")
            return url.replace("/tasks", "", 1) or "/" if stripped else url

        outside = "/tasks/api/tasks"
        response = await client.post(through(outside), json=VALID)
        assert response.status_code == 202
        for reference in (response.headers["location"],):
            assert (await client.get(through(urljoin(outside, reference)))).status_code == 200
        await client.post(through(outside), json=VALID)
        page = await client.get(through(outside + "?limit=1"))
        following = urljoin(outside + "?limit=1", page.links["next"]["url"])
        assert (await client.get(through(following))).json() != page.json()
        index = (await client.get(through("/tasks/"))).json()
        assert (await client.get(through(urljoin("/tasks/", index["tasks"])))).status_code == 200
        await _open_documentation(client, urljoin("/tasks/", index["documentation"]), through)
        assert (await client.get(through("/tasks/openapi.json"))).json()["servers"] == [{"url": "/tasks"}]


async def test_a03_a_prefix_that_is_like_our_own_paths(queue: Queue) -> None:
    async with web_client(services_of(queue, root_path="/api")) as client:
        assert (await client.get("/api/tasks")).json() == []
        assert (await client.get("/api/api/tasks")).json() == []
        assert (await client.get("/api")).json()["name"] == "Taskpost"
        problem(await client.get("/apix"), 404, "not_found")
        problem(await client.get("/api/nope"), 404, "not_found")


@pytest.mark.parametrize("root_path", ["", "/tasks"])
async def test_docs_with_a_slash_redirects(queue: Queue, root_path: str) -> None:
    async with web_client(services_of(queue, root_path=root_path)) as client:
        response = await client.get(f"{root_path}/docs/")
        assert (response.status_code, response.content) == (307, b"")
        assert response.next_request is not None
        assert response.next_request.url.path == f"{root_path}/docs"
        assert (await client.send(response.next_request)).headers["content-type"].startswith("text/html")


BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("root_path", "path"), [("", "/"), ("/tasks", "/tasks"), ("/tasks", "/tasks/"), ("/tasks", "/")]
)
async def test_the_root_shows_a_page_to_a_browser(queue: Queue, root_path: str, path: str) -> None:
    async with web_client(services_of(queue, root_path=root_path)) as client:
        response = await client.get(path, headers=BROWSER)
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert response.headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert f"Version {VERSION}" in response.text
        assert "://" not in response.text
        links = re.findall(r'href="([^"]+)"', response.text)
        assert len(links) == 7
        for link in links:
            assert (await client.get(urljoin(path, link))).status_code == 200, link
        assert (await client.get(path)).json()["name"] == "Taskpost"
        assert (await client.get(path)).headers["vary"] == response.headers["vary"] == "Accept"


async def test_the_documentation_needs_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    await _open_documentation(client, "/docs", str)
    problem(await client.get("/docs/assets/redoc.standalone.js"), 404, "not_found")
    problem(await client.get("/docs/assets/..%2f..%2fcore.py"), 404, "not_found")
    problem(await client.get("/redoc"), 404, "not_found")


async def _open_documentation(client: httpx.AsyncClient, page: str, through: Any) -> None:
    html = (await client.get(through(page))).text
    assert "://" not in html
    references = re.findall(r"(?:src|href)=\"([^\"]+)\"|url: '([^']+)'", html)
    assert len(references) == 4
    for reference in references:
        response = await client.get(through(urljoin(page, "".join(reference))))
        assert response.status_code == 200
        assert response.content


async def test_answers_fit_the_openapi_document(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()

    def check(name: str, value: Any) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema_rs.validator_for(schema, validate_formats=True).validate(value)

    accepted = await client.post("/api/tasks", json=VALID)
    check("TaskAccepted", accepted.json())
    path = f"/api/tasks/{accepted.json()['task']['task_id']}"
    check("Task", (await client.get(path)).json())
    check("Task", (await client.delete(path)).json())
    check("Outcome", (await client.get(f"{path}/result")).json())
    check("TaskLog", (await client.get(f"{path}/log")).json())
    check("TaskSummary", (await client.get("/api/tasks")).json()[0])
    check("TaskType", (await client.get("/api/task-types")).json()[0])
    check("Index", (await client.get("/")).json())
    check("Problem", (await client.post("/api/tasks", json={})).json())


# When something is broken.


async def test_r03_memory_full(own_valkey: ValkeyServer, instance: str) -> None:
    redis_client = connect_async(own_valkey.url)
    queue = Queue(redis_client, instance)
    async with web_client(services_of(queue)) as client:
        kept = (await submit(client))["task_id"]
        used = (await redis_client.info("memory"))["used_memory"]
        await redis_client.config_set("maxmemory", used + 3 * 2**20)
        body = {**ANYTHING, "task_input": "x" * 500_000}
        answers = [await client.post("/api/tasks", json=body) for _ in range(20)]
        taken = [answer for answer in answers if answer.status_code == 202]
        refused = [answer for answer in answers if answer.status_code != 202]
        assert taken
        for answer in refused:
            problem(answer, 503, "unavailable")
            assert int(answer.headers["retry-after"]) > 0
        assert len(refused) > 10
        assert len((await client.get("/api/tasks")).json()) == 1 + len(taken)
        assert (await client.delete(f"/api/tasks/{kept}")).status_code == 200
        await redis_client.config_set("maxmemory", 0)
        await submit(client)
    await redis_client.aclose()


async def test_redis_read_only(own_valkey: ValkeyServer, instance: str) -> None:
    redis_client = connect_async(own_valkey.url)
    async with web_client(services_of(Queue(redis_client, instance))) as client:
        task_id = (await submit(client))["task_id"]
        await redis_client.replicaof("127.0.0.1", 1)
        problem(await client.post("/api/tasks", json=VALID), 503, "unavailable")
        problem(await client.delete(f"/api/tasks/{task_id}"), 503, "unavailable")
        await redis_client.replicaof("NO", "ONE")
        await submit(client)
    await redis_client.aclose()


@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_redis_away(own_valkey: ValkeyServer, instance: str, how: str) -> None:
    redis_client = connect_async(own_valkey.url)
    async with web_client(services_of(Queue(redis_client, instance))) as client:
        await submit(client)
        getattr(own_valkey, how)()
        calls = [("POST", "/api/tasks"), ("GET", "/api/tasks"), ("GET", f"/api/tasks/{UNKNOWN_ID}"),
                 ("DELETE", f"/api/tasks/{UNKNOWN_ID}"), ("GET", f"/api/tasks/{UNKNOWN_ID}/result"),
                 ("GET", f"/api/tasks/{UNKNOWN_ID}/log"), ("GET", "/metrics")]  # fmt: skip
        began = time.monotonic()
        answers = await asyncio.gather(
            *(client.request(method, path, json=VALID if method == "POST" else None) for method, path in calls)
        )
        assert time.monotonic() - began < 2
        for answer in answers:
            body = problem(answer, 503, "unavailable")
            assert str(own_valkey.socket_path) not in answer.text
            assert re.fullmatch(r"[^.:]*\.", body["detail"])
            assert int(answer.headers["retry-after"]) > 0
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/api/task-types")).status_code == 200
        own_valkey.start() if how == "kill" else own_valkey.resume()
        await submit(client)
    await redis_client.aclose()


async def test_an_unexpected_fault_is_logged_and_not_told(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: str) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(queue, "read", broken)
    async with web_client(services_of(queue)) as client:
        response = await client.get(f"/api/tasks/{UNKNOWN_ID}")
        problem(response, 500, "internal_error")
        assert "secret" not in response.text
    assert "a secret" in caplog.text


async def test_the_lifespan_is_entered_and_left(queue: Queue) -> None:
    events: list[str] = []

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        events.append("entered")
        yield
        events.append("left")

    async with serving(create_app(services_of(queue), lifespan)) as url, httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/livez")).status_code == 200
        assert events == ["entered"]
    assert events == ["entered", "left"]


async def test_the_other_protocol_of_uvicorn(queue: Queue) -> None:
    async with web_client(services_of(queue), http="h11") as client:
        await submit(client)
        problem(await post_raw(client, padded(2**20 + 1)), 413, "body_too_large")
        assert (await client.head("/api/tasks")).headers["content-length"] != "0"


async def test_assets_are_the_packages_own(client: httpx.AsyncClient) -> None:
    from importlib.resources import files

    expected = (files("fastapi_offline") / "static" / "swagger-ui-bundle.js").read_bytes()
    served = (await client.get("/docs/assets/swagger-ui-bundle.js")).content
    assert hashlib.sha256(served).digest() == hashlib.sha256(expected).digest()
