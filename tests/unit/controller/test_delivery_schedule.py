"""The long schedule, with the time of Redis moved on instead of waited for."""

from __future__ import annotations

import asyncio

import pytest

from api.controller.deliver import Deliverer
from api.core.task import Reason
from api.queue.conclude import conclude
from api.queue.shapes import Lane, QueueLimits, Room, Submission
from runner.contract import State
from runner.delivery.post import Try
from runner.delivery.schedule import DELAYS_SECONDS
from runner.delivery.tries import Sent

LIMITS = QueueLimits(10_000, 1_000_000)


class Refusing:
    async def post(self, *_, **__):
        return Try("the receiver answered 500", status=500)


async def ended(queue, result_url="http://receiver.example:9000/x"):
    task = (await queue.submit(Submission("sleep", "{}", result_url, 0, 60_000), LIMITS)).task
    assert await conclude(queue, task, State.CANCELLED, Reason("cancelled", "by request"))
    return task.task_id


async def make_due(queue, redis_client, task_id, host="receiver.example:9000"):
    for lane in Lane:
        await redis_client.zadd(f"{queue._prefix}due:{lane}:{host}", {task_id: 1}, xx=True)
        await redis_client.zadd(f"{queue._prefix}hosts:{lane}", {host: 1}, xx=True)


async def test_a_delivery_is_tried_for_three_days_and_then_dead(queue, redis_client):
    task_id = await ended(queue)
    deliverer = Deliverer(queue, Refusing(), DELAYS_SECONDS)
    for delay_seconds in DELAYS_SECONDS:
        await deliverer._start_due(asyncio.Event())
        await asyncio.gather(*deliverer._tries)
        task, _ = await queue.read(task_id)
        assert task.delivery.status == "pending"
        pause_seconds = (task.delivery.next_ms - await queue.now_ms()) / 1000
        assert pause_seconds == pytest.approx(delay_seconds, rel=0.11, abs=0.5)
        await make_due(queue, redis_client, task_id)
    await deliverer._start_due(asyncio.Event())
    await asyncio.gather(*deliverer._tries)
    task, _ = await queue.read(task_id)
    assert (task.delivery.status, task.delivery.attempts) == ("dead", len(DELAYS_SECONDS) + 1)
    found = await queue.deliveries.tries(task_id)
    assert len(found.tries) == len(DELAYS_SECONDS) + 1
    counts = await queue.counts()
    assert (counts.deliveries_pending, counts.deliveries_dead) == (0, 1)
    assert (counts.tries["pending"], counts.tries["dead"]) == (len(DELAYS_SECONDS), 1)


async def test_asked_for_again_it_has_its_whole_schedule_before_it(queue, redis_client):
    task_id = await ended(queue)
    for _ in range(2):
        deliverer = Deliverer(queue, Refusing(), (5.0,))
        for status in ("pending", "dead"):
            await make_due(queue, redis_client, task_id)
            await deliverer._start_due(asyncio.Event())
            await asyncio.gather(*deliverer._tries)
            assert (await queue.read(task_id))[0].delivery.status == status
        assert (await queue.deliveries.redeliver(task_id)).code == "due"
    assert (await queue.read(task_id))[0].delivery.attempts == 4


async def test_of_many_tries_the_newest_are_kept(queue):
    task_id = await ended(queue)
    for number in range(25):
        assert (await queue.deliveries.redeliver(task_id)).code == "due"
        _, (due,) = await queue.deliveries.claim(Room(1, 1, 1), 30, "token", {})
        sent = Sent("service", number, Try("no", status=500, answer=f"answer {number}"))
        await queue.deliveries.report(due.task_id, "token", "dead", 0, sent)
    found = await queue.deliveries.tries(task_id)
    assert [made.at_ms // 1000 for made in found.tries] == list(range(5, 25))
    assert found.answer == "answer 24"


async def test_hosts_and_lanes_have_their_shares(queue):
    slow = [await ended(queue, "http://slow.example/x") for _ in range(5)]
    fast = [await ended(queue, "https://User:pass@FAST.example/x") for _ in range(2)]
    next_seconds, due = await queue.deliveries.claim(Room(100, 100, 3), 30, "token", {})
    assert [one.task_id for one in due] == [*slow[:3], *fast]
    assert {one.host for one in due} == {"slow.example", "fast.example"}
    assert {one.lane for one in due} == {Lane.FIRST}
    assert next_seconds == pytest.approx(30, abs=1)
    _, none = await queue.deliveries.claim(Room(100, 100, 3), 30, "token", {"slow.example": 3})
    assert none == []
    _, more = await queue.deliveries.claim(Room(100, 100, 3), 30, "other", {"slow.example": 2})
    assert [one.task_id for one in more] == slow[3:4]
    for one in due:
        await queue.deliveries.report(one.task_id, "token", "pending", 0, Sent("service", 0, Try("no")))
    fresh = await ended(queue, "http://fresh.example/")
    _, again = await queue.deliveries.claim(Room(3, 1, 10), 30, "third", {})
    assert [one.lane for one in again] == [Lane.FIRST, Lane.FIRST, Lane.AGAIN]
    assert {again[0].task_id, again[1].task_id} == {slow[4], fresh}


async def test_however_many_hosts_there_are_each_is_reached(queue):
    for number in range(200):
        await ended(queue, f"http://host-{number}.example/")
    seen = set()
    busy = {}
    while True:
        _, due = await queue.deliveries.claim(Room(7, 7, 1), 30, "token", busy)
        if not due:
            break
        for one in due:
            seen.add(one.host)
            busy[one.host] = 1
    assert len(seen) == 200
