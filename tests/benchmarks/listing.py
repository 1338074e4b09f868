"""A page of 100 out of 100,000 tasks, over HTTP, beside the least that Redis must do for it."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from typing import TYPE_CHECKING

from api.queue.queue import Queue
from api.web.application import create_app
from runner.connect import connect_async
from runner.contract import State, key_prefix
from tests.benchmarks.load import Connection, get
from tests.benchmarks.many_tasks import FATES, Filler
from tests.benchmarks.measure import Row, milliseconds, percentile
from tests.support.valkey import ValkeyServer
from tests.support.web import TYPES, services_of, serving

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

TASKS = 100_000
PAGES = 50
PAGE = 100
BUDGET_SECONDS = 0.025
INSTANCE = "bench"
FIELDS = ("type", "percent", "state", "created", "finished", "client", "priority")
QUERIES = ("", "&status=done,failed&task_type=sleep", "&status=queued")
_NEXT = re.compile(rb"link: <([^>]*)>", re.IGNORECASE)


def rows() -> list[Row]:
    with ValkeyServer() as server:
        return asyncio.run(_rows(server.url))


async def _rows(url: str) -> list[Row]:
    async with connect_async(url) as client:
        queue, began = Queue(client, INSTANCE), time.monotonic()
        await Filler(client, INSTANCE, tuple(TYPES)).fill(TASKS)
        states: Counter[State] = Counter()
        for (_, state), number in (await queue.counts()).tasks.items():
            states[state] += number
        print(f"  {states.total()} tasks after {time.monotonic() - began:.0f} s", flush=True)
        assert all(abs(states[fate] - TASKS * FATES.count(fate) / 10) <= 10 * len(TYPES) for fate in FATES), states
        async with serving(create_app(services_of(queue))) as service_url:
            return [await _row(client, service_url, query) for query in QUERIES]


async def _row(client: Redis, service_url: str, query: str) -> Row:
    floors = [await _bare_page(client) for _ in range(PAGES)]
    ours = await asyncio.to_thread(_pages, service_url, query)
    p99 = percentile(ours, 99)
    what = query.lstrip("&").replace("&", ", ") or "unfiltered"
    measured = f"p50 {milliseconds(percentile(ours, 50))}, p99 {milliseconds(p99)}"
    floor = f"p50 {milliseconds(percentile(floors, 50))}"
    return Row(f"a page of 100 of 100,000: {what}", floor, measured, "< 25 ms", p99 < BUDGET_SECONDS)


async def _bare_page(client: Redis) -> float:
    """A hundred ids from an index and their records, as they come from Redis."""
    began, prefix = time.perf_counter(), key_prefix(INSTANCE)
    task_ids = await client.zrange(f"{prefix}index:done:fibonacci", "+", "-", desc=True, bylex=True, offset=0, num=PAGE)
    async with client.pipeline(transaction=False) as pipeline:
        for task_id in task_ids:
            pipeline.hmget(f"{prefix}task:{task_id.decode()}", FIELDS)
        records = await pipeline.execute()
    assert len(records) == PAGE
    return time.perf_counter() - began


def _pages(service_url: str, query: str) -> Sequence[float]:
    """Turn pages from the first on; how long each took."""
    connection, seconds = Connection(service_url), []
    path = first = f"/api/tasks?limit={PAGE}{query}"
    for _ in range(PAGES + 1):
        began = time.perf_counter()
        answer = connection.ask(get(path))
        seconds.append(time.perf_counter() - began)
        following = _NEXT.search(answer)
        path = f"/api/tasks{following[1].decode()}" if following else first
    connection.socket.close()
    return seconds[1:]
