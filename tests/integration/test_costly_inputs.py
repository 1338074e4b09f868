"""An input whose check takes long delays no other request, and has a limit in time."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from api.core.task_types import TaskTypeDefinition
from api.web import check_apart
from api.web.application import create_app
from api.web.check_apart import MOST_WAITING, TOO_SLOW
from tests.support.web import VALID, services_of, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI

    from api.queue.queue import Queue

SCHEMA = {"type": "object", "properties": {"ids": {"type": "array", "uniqueItems": True}}, "required": ["ids"]}
TYPE = TaskTypeDefinition("unique", "", SCHEMA, {"ids": []}, None, 60, lambda _: 60)
PLAIN = TaskTypeDefinition("fibonacci", "", {"type": "object"}, {}, None, 60, lambda _: 60)
ENDLESS = [10**25 + number for number in range(35_000)]
"""Each is compared with each: ten minutes for 1 MB."""
SLOW = [10**25 + number for number in range(400)]
"""Milliseconds, but it cannot be known beforehand."""


@pytest.fixture
def app(queue: Queue) -> FastAPI:
    return create_app(replace(services_of(queue), types=lambda types={"unique": TYPE, "fibonacci": PLAIN}: types))


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(app) as url, httpx.AsyncClient(base_url=url, timeout=30) as client:
        yield client


async def submit(client: httpx.AsyncClient, ids: Any) -> httpx.Response:
    body = {"task_type": "unique", "result_url": None, "task_input": {"ids": ids}}
    headers = {"Content-Type": "application/json"}
    return await client.post("/api/tasks", content=json.dumps(body), headers=headers)


async def test_endless_check_ends_and_delays_nobody(client: httpx.AsyncClient) -> None:
    endless = asyncio.create_task(submit(client, ENDLESS))
    slowest = 0.0
    while not endless.done():
        begin = time.monotonic()
        assert (await client.get("/livez")).status_code == 200
        assert (await client.post("/api/tasks", json=VALID)).status_code == 202
        slowest = max(slowest, time.monotonic() - begin)
    answer = await endless
    assert answer.status_code == 400
    assert answer.json()["errors"] == [{"pointer": "/task_input", "detail": TOO_SLOW}]
    assert slowest < 2
    assert (await submit(client, SLOW)).status_code == 202, "the next check has a process too"


async def test_checked_apart_means_the_same(client: httpx.AsyncClient) -> None:
    assert (await submit(client, SLOW)).status_code == 202
    wrong = await submit(client, [*SLOW, SLOW[0]])
    assert wrong.status_code == 400
    assert [error["pointer"] for error in wrong.json()["errors"]] == ["/task_input/ids"]
    assert "unique" in wrong.json()["errors"][0]["detail"]
    assert (
        await submit(client, ["line\nbreak\ttab \u2028 \udcff".encode("utf-8", "replace").decode(), *SLOW])
    ).status_code == 202


async def test_process_that_was_killed_is_started_again(client: httpx.AsyncClient, app: FastAPI) -> None:
    assert (await submit(client, SLOW)).status_code == 202
    process = app.state.check_apart._process
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    assert (await submit(client, SLOW)).status_code == 202


async def test_process_that_cannot_be_started_is_503(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_apart.sys, "executable", "/nowhere/python")
    answer = await submit(client, SLOW)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_many_costly_inputs_take_no_turns_from_others(client: httpx.AsyncClient) -> None:
    many = [asyncio.create_task(submit(client, ENDLESS)) for _ in range(2 * MOST_WAITING)]
    await asyncio.wait(many, return_when=asyncio.FIRST_COMPLETED)
    answers = await asyncio.gather(*(client.post("/api/tasks", json=VALID) for _ in range(40)))
    assert {answer.status_code for answer in answers} == {202}
    assert {answer.status_code for answer in await asyncio.gather(*many)} <= {400, 503}


async def test_process_ends_with_the_service(app: FastAPI) -> None:
    async with serving(app) as url, httpx.AsyncClient(base_url=url, timeout=30) as client:
        assert (await submit(client, SLOW)).status_code == 202
        process = app.state.check_apart._process
        assert process.returncode is None
    assert process.returncode == -signal.SIGKILL
