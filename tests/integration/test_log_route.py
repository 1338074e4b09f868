"""`GET /api/tasks/{task_id}/log` over HTTP, with a real Valkey: what runs is read where it runs, and in turns."""

from __future__ import annotations

import asyncio

import httpx

from api.core.log_tail import LogTail
from api.core.observation import AttemptId
from api.queue.shapes import QueueLimits, Slot, Submission
from api.web.application import create_app
from api.web.turns import LOGS_AT_A_TIME, REQUESTS_AT_A_TIME, RESULTS_AT_A_TIME
from tests.support.web import VALID, services_of, serving, web_client

LIMITS = QueueLimits(100, 1_000_000)


async def claimed(queue):
    await queue.submit(Submission("sleep", "{}", None, 0, 60_000), LIMITS)
    return (await queue.claim(100, {"sleep": None})).attempt_id


async def log_of(client, attempt_id):
    answer = await client.get(f"/api/tasks/{attempt_id.task_id}/log")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()["attempts"]


async def test_where_an_attempt_runs_is_asked_only_while_it_runs(queue):
    attempt_id, asked = await claimed(queue), []

    async def read_log(about):
        asked.append(about)
        return LogTail(b"so far")

    async with web_client(services_of(queue, read_log=read_log)) as client:
        (attempt,) = await log_of(client, attempt_id)
        assert (attempt["output"], attempt["complete"]) == ("so far", False)
        assert asked == [AttemptId(attempt_id.task_id, 1)]
        await queue.logs.keep(attempt_id, LogTail(b"all of it"), 10_000, replace=True)
        await queue.release(Slot(attempt_id, "sleep"))
        (attempt,) = await log_of(client, attempt_id)
        assert (attempt["output"], attempt["complete"]) == ("all of it", True)
        assert len(asked) == 1


async def test_a_service_that_keeps_no_logs_reads_none(queue):
    attempt_id = await claimed(queue)

    async def read_log(_):
        raise AssertionError("it was read")

    async with web_client(services_of(queue, read_log=read_log, keeps_logs=False)) as client:
        (attempt,) = await log_of(client, attempt_id)
        assert "RETENTION_LOG_MAX_BYTES is 0" in attempt["note"]


async def test_logs_that_take_long_are_read_four_at_a_time_and_delay_no_result(queue):
    attempt_id, reading, over = await claimed(queue), asyncio.Semaphore(0), asyncio.Event()
    under_way = []

    async def read_log(_):
        under_way.append(1)
        reading.release()
        await over.wait()
        return LogTail()

    path = f"/api/tasks/{attempt_id.task_id}"
    async with web_client(services_of(queue, read_log=read_log)) as client:
        asking = [asyncio.create_task(client.get(f"{path}/log")) for _ in range(8)]
        for _ in range(4):
            await asyncio.wait_for(reading.acquire(), 20)
        assert (await client.get(f"{path}/result")).status_code == 409, "it has not ended"
        answers = asyncio.as_completed(asking)
        assert [(await next(answers)).status_code for _ in range(4)] == [503] * 4
        over.set()
        assert [(await answer).status_code for answer in answers] == [200] * 4
        assert len(under_way) == 4


async def test_logs_and_results_that_wait_take_no_turns_from_submissions(queue, monkeypatch):
    attempt_id, reading, over = await claimed(queue), asyncio.Semaphore(0), asyncio.Event()
    reads_body = queue.read_body

    async def wait():
        reading.release()
        await over.wait()

    async def read_log(_):
        await wait()
        return LogTail()

    async def read_slowly(task_id):
        await wait()
        return await reads_body(task_id)

    monkeypatch.setattr(queue, "read_body", read_slowly)
    path = f"/api/tasks/{attempt_id.task_id}"
    many = httpx.Limits(max_connections=None)
    async with (
        serving(create_app(services_of(queue, read_log=read_log))) as url,
        httpx.AsyncClient(base_url=url, limits=many, timeout=30) as client,
    ):
        waits = [asyncio.create_task(client.get(f"{path}/{name}")) for name in ("log", "result") * REQUESTS_AT_A_TIME]
        for _ in range(LOGS_AT_A_TIME + RESULTS_AT_A_TIME):
            await asyncio.wait_for(reading.acquire(), 20)
        answers = await asyncio.gather(*(client.post("/api/tasks", json=VALID) for _ in range(5)))
        over.set()
        await asyncio.gather(*waits)
    assert {answer.status_code for answer in answers} == {202}
