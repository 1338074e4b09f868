"""Redis bytes for one task that has ended and is delivered and released, driven through the real verbs."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import TYPE_CHECKING

from api.queue.queue import Queue
from api.queue.shapes import QueueLimits, Slot, Submission
from runner.attempt import read_attempt
from runner.connect import connect, connect_async
from runner.contract import DEFAULT_INSTANCE as INSTANCE
from runner.contract import DeliveryStatus, Env, State, key_prefix, outcome_body
from runner.delivery.post import Try
from runner.delivery.tries import Sent
from runner.outcome import Outcome
from runner.report import Report
from tests.benchmarks.measure import Row
from tests.support.valkey import ValkeyServer

if TYPE_CHECKING:
    import redis

    from api.queue.shapes import Claim

TASKS = 5000
BUDGET_BYTES = 1300
TASK_TYPE = "fibonacci"
PAYLOAD_BYTES = 200
PAYLOAD = json.dumps({"value": "x" * (PAYLOAD_BYTES - len('{"value":""}'))}, separators=(",", ":"))
RESULT_URL = "https://callbacks.example.com/of/this/benchmark/0123456789ab"
LIMITS = QueueLimits(max_length=10, max_bytes=10_000)


def rows() -> list[Row]:
    floor = _bytes_of(_plain)
    used, by_kind = _bytes_of(_tasks), {}
    with_key = _bytes_of(lambda url, number: _tasks(url, number, idempotent=True))
    with ValkeyServer() as server, connect(server.url) as client:
        _tasks(server.url, TASKS)
        by_kind = _by_kind(client)
    shares = ", ".join(f"{kind} {size / TASKS:.0f}" for kind, size in by_kind.most_common() if size >= TASKS)
    return [
        Row(
            "Redis bytes for one ended task",
            f"{floor:.0f} B (SET of 400 B)",
            f"{used:.0f} B",
            f"<= {BUDGET_BYTES} B",
            used <= BUDGET_BYTES,
            f"MEMORY USAGE: {shares}; with an Idempotency-Key, for a day: {with_key:.0f} B",
        )
    ]


def _bytes_of(fill) -> float:
    """What one more thing costs: `fill` is given an address and a number of things."""
    with ValkeyServer() as server, connect(server.url) as client:
        fill(server.url, 100)
        before = client.info("memory")["used_memory"]
        fill(server.url, TASKS)
        return (client.info("memory")["used_memory"] - before) / TASKS


def _plain(url: str, number: int) -> None:
    with connect(url) as client:
        first = client.dbsize()
        with client.pipeline(transaction=False) as pipeline:
            for index in range(first, first + number):
                pipeline.set(f"{index:036}", "x" * 2 * PAYLOAD_BYTES)
            pipeline.execute()


def _tasks(url: str, number: int, *, idempotent: bool = False) -> None:
    asyncio.run(_run_tasks(url, number, idempotent=idempotent))


async def _run_tasks(url: str, number: int, *, idempotent: bool) -> None:
    with connect(url) as runner_client:
        async with connect_async(url) as client:
            queue = Queue(client, INSTANCE)
            for index in range(number):
                key, digest = (f"{number}-{index:030}", "0" * 64) if idempotent else (None, "")
                await queue.submit(Submission(TASK_TYPE, PAYLOAD, RESULT_URL, 0, 60_000, key, digest), LIMITS)
                claim = await queue.claim(1, {TASK_TYPE: None})
                assert claim is not None
                _run(runner_client, url, claim)
                await queue.release(Slot(claim.attempt_id, TASK_TYPE))


def _run(client: redis.Redis, url: str, claim: Claim) -> None:
    """What the runner of an attempt tells Redis."""
    task_id, number = claim.attempt_id.task_id, claim.attempt_id.attempt
    names = {Env.REDIS_URL: url, Env.TASK_ID: task_id, Env.ATTEMPT: str(number), Env.TOKEN: claim.token}
    report = Report(client, read_attempt(names))
    started = report.start()
    report.progress(50.0)
    body = outcome_body(
        task_id=task_id,
        task_type=TASK_TYPE,
        status=State.DONE,
        result_json=PAYLOAD,
        error=None,
        attempt=number,
        created_ms=started.created_ms,
        started_ms=started.started_ms,
        finished_ms=started.now_ms,
    )
    outcome = Outcome(State.DONE, "null", None, 100.0)
    report.finish(outcome, body, started.now_ms, until=time.monotonic() + 5)
    sent = Sent("runner", time.time(), Try(None, status=204, duration_seconds=0.01))
    report.delivery(DeliveryStatus.DELIVERED, 0, sent)


def _by_kind(client: redis.Redis) -> Counter[str]:
    """The bytes of all keys, by the word after the instance's prefix."""
    sizes: Counter[str] = Counter()
    for key in client.scan_iter(count=1000):
        kind = key.decode().removeprefix(key_prefix(INSTANCE)).partition(":")[0]
        sizes[kind] += client.memory_usage(key, samples=0) or 0
    return sizes
