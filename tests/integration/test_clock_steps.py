"""Somebody sets the wall clock, by hours in either direction: no duration changes.

What the clock of a Redis server says cannot be set in a test. What Lua compares it with can: `step` moves the recorded
wall time of the last tick the other way, which is the same to every script.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from api.controller.clock import keep_clock, monotonic_source
from api.core.task import Reason
from api.core.task_types import RetryRule
from api.queue.conclude import conclude
from api.queue.queue import Queue
from api.queue.shapes import QueueLimits, Retention, Submission
from runner.attempt import read_attempt
from runner.connect import connect
from runner.contract import Env, State, key_prefix
from runner.delivery.post import Try
from runner.delivery.tries import Sent
from runner.report import Report
from tests.support.rooms import room_for

LIMITS = QueueLimits(1000, 10_000_000)
HOUR_MS = 3600 * 1000
ROOM = room_for(10)
STEPS = [-240 * HOUR_MS, -2 * HOUR_MS, 2 * HOUR_MS, 240 * HOUR_MS]
PAUSE_MS = 3000
"""How far the steady clock may run ahead until the next tick."""
steps = pytest.mark.parametrize("step_ms", STEPS)


@pytest.fixture
async def ticked(queue):
    await queue.tick("machine", 1_000_000)
    return queue


async def step(queue, redis_client, instance, step_ms, passed_ms=1000):
    """Set the wall clock; then a tick comes, after so much real time."""
    await redis_client.hincrby(f"{key_prefix(instance)}steady", "wall", -step_ms)
    await queue.tick("machine", 1_000_000 + passed_ms)


async def steady_ms(queue):
    return (await queue.look("no-such-task")).now_ms


@pytest.fixture
def stepped(ticked, redis_client, instance):
    async def stepped(step_ms):
        await step(ticked, redis_client, instance, step_ms)

    return stepped


async def submitted(queue, result_url=None):
    return (await queue.submit(Submission("sleep", "{}", result_url, 0, 60_000), LIMITS)).task


async def started(queue, valkey_url, instance, retries=None):
    """Return the runner's side of a task that has begun, and what it was told."""
    claim = await queue.claim(9, {"sleep": None}, retries)
    report = Report(
        connect(valkey_url),
        read_attempt(
            {
                Env.REDIS_URL: valkey_url,
                Env.INSTANCE: instance,
                Env.TASK_ID: claim.attempt_id.task_id,
                Env.ATTEMPT: str(claim.attempt_id.attempt),
                Env.TOKEN: claim.token,
            }
        ),
    )
    return claim, report, await asyncio.to_thread(report.start)


@steps
async def test_steady_clock_advances_by_what_really_passed(ticked, stepped, step_ms):
    before = await steady_ms(ticked)
    await stepped(step_ms)
    assert 900 <= await steady_ms(ticked) - before <= 1000 + PAUSE_MS


@pytest.mark.parametrize("step_ms", [2 * HOUR_MS, 240 * HOUR_MS])
async def test_a_step_forward_shows_little_even_before_the_next_tick(ticked, redis_client, instance, step_ms):
    before = await steady_ms(ticked)
    await redis_client.hincrby(f"{key_prefix(instance)}steady", "wall", -step_ms)
    assert await steady_ms(ticked) - before <= PAUSE_MS


@steps
async def test_a_delivery_that_is_due_in_six_seconds_still_is(ticked, stepped, step_ms):
    task = await submitted(ticked, "http://receiver.test/")
    await conclude(ticked, task, State.CANCELLED, Reason("cancelled", "by request"))
    _, [delivery] = await ticked.deliveries.claim(ROOM, 30, "t")
    await ticked.deliveries.report(delivery.task_id, "t", "pending", 6.0, Sent("service", time.time(), Try("refused")))
    await stepped(step_ms)
    next_seconds, due = await ticked.deliveries.claim(ROOM, 30, "t")
    assert not due
    assert 1.0 <= next_seconds <= 5.2
    (shown, _) = await ticked.read(task.task_id)
    assert abs(shown.delivery.next_ms - time.time() * 1000) < 7000, "it is shown by the wall clock"


@steps
async def test_a_running_attempt_keeps_its_deadline(ticked, stepped, valkey_url, instance, step_ms):
    task = await submitted(ticked)
    await started(ticked, valkey_url, instance)
    await stepped(step_ms)
    look = await ticked.look(task.task_id)
    assert 900 <= look.now_ms - look.task.begun_ms <= 1000 + PAUSE_MS
    assert 900 <= look.now_ms - look.task.claimed_ms <= 1000 + PAUSE_MS


@steps
async def test_a_runner_that_is_started_again_has_the_rest_of_its_time(ticked, stepped, valkey_url, instance, step_ms):
    await submitted(ticked)
    _, report, first = await started(ticked, valkey_url, instance)
    await stepped(step_ms)
    again = await asyncio.to_thread(report.start)
    assert first.left_ms == 60_000
    assert 60_000 - 1000 - PAUSE_MS <= again.left_ms <= 60_000 - 900


@steps
async def test_the_pause_before_a_retry_stays_as_long(ticked, stepped, valkey_url, instance, step_ms):
    task = await submitted(ticked)
    claim, *_ = await started(ticked, valkey_url, instance, {"sleep": RetryRule(1, 30.0, ("task_error",))})
    assert await ticked.requeue(claim.attempt_id, Reason("task_error", "no"), counts_as_loss=False, is_retry=True)
    await stepped(step_ms)
    assert await ticked.claim(9, {"sleep": None}) is None
    await ticked.tick("machine", 1_000_000 + 40_000)
    assert (await ticked.claim(9, {"sleep": None})).attempt_id.task_id == task.task_id


@steps
async def test_an_ended_task_is_kept_as_long(ticked, stepped, step_ms):
    task = await submitted(ticked)
    await conclude(ticked, task, State.CANCELLED, Reason("cancelled", "by request"))
    retention = Retention(60.0, 100, 1_000_000, 1_000_000)
    await stepped(step_ms)
    assert (await ticked.sweep(retention)).forgotten == 0
    await ticked.tick("machine", 1_000_000 + 61_000)
    assert (await ticked.sweep(retention)).forgotten == 1


@steps
async def test_a_leader_keeps_its_lease_and_another_gets_it_in_time(ticked, stepped, step_ms):
    assert await ticked.lead("first", 10)
    await stepped(step_ms)
    assert not await ticked.lead("second", 10)
    await ticked.tick("machine", 1_000_000 + 11_000)
    assert await ticked.lead("second", 10)


async def test_ids_rise_across_a_step_back(ticked, redis_client, instance):
    """Ids have the wall clock's time. They follow the last one while that is ahead."""
    first = await submitted(ticked)
    await redis_client.hincrby(f"{key_prefix(instance)}totals", "clock", 2 * HOUR_MS)
    second, third = await submitted(ticked), await submitted(ticked)
    assert first.task_id < second.task_id < third.task_id


async def test_a_machine_that_was_suspended_does_not_turn_the_clock_back(ticked):
    await ticked.tick("other", 5_000)
    await ticked.tick("machine", 1_000_000 + 90_000)
    before = await steady_ms(ticked)
    assert await ticked.tick("other", 6_000) >= before - PAUSE_MS
    assert await ticked.tick("other", 16_000) >= before + 10_000 - PAUSE_MS


async def test_a_service_that_was_away_goes_on_with_what_really_passed(ticked, redis_client, instance):
    """Both at once: an hour without a service, and a clock set back by two hours meanwhile."""
    before = await steady_ms(ticked)
    await step(ticked, redis_client, instance, -2 * HOUR_MS, passed_ms=HOUR_MS)
    assert HOUR_MS - 100 <= await steady_ms(ticked) - before <= HOUR_MS + PAUSE_MS


async def test_an_unknown_machine_goes_by_the_wall_clock_and_never_back(ticked, redis_client, instance):
    before = await steady_ms(ticked)
    await redis_client.hincrby(f"{key_prefix(instance)}steady", "wall", 2 * HOUR_MS)
    assert before - 100 <= await ticked.tick("new", 7) <= before + PAUSE_MS


async def test_the_machines_that_are_remembered_are_bounded(ticked, redis_client, instance):
    for number in range(40):
        await ticked.tick(f"machine-{number}", number)
    fields = await redis_client.hkeys(f"{key_prefix(instance)}steady")
    assert len([name for name in fields if name.startswith(b"source:")]) == 16


async def test_a_service_ticks(queue, redis_client, instance):
    keeping = asyncio.create_task(keep_clock(queue))
    async with asyncio.timeout(10):
        while not await redis_client.hexists(f"{key_prefix(instance)}steady", f"source:{monotonic_source()}"):  # noqa: ASYNC110 - Redis announces no tick
            await asyncio.sleep(0)
    keeping.cancel()


def test_processes_of_a_machine_have_one_clock():
    assert monotonic_source() == monotonic_source()


async def test_without_a_tick_it_is_the_wall_clock(redis_client, instance):
    queue = Queue(redis_client, instance)
    assert abs(await steady_ms(queue) - time.time() * 1000) < 2000
