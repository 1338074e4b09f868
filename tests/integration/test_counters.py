"""What /metrics counts for service level objectives: ends by type and outcome, times, deliveries; exact and bounded."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest

from api.controller.withdraw import Withdrawer
from api.core.task import Reason
from api.queue.conclude import conclude
from api.queue.errors import NotLeading
from api.queue.queue import Queue
from api.queue.shapes import QueueLimits, Retention, Submission
from runner.attempt import read_attempt
from runner.connect import connect
from runner.contract import Env, Error, ErrorCode, State, key_prefix
from runner.delivery.post import Try
from runner.delivery.tries import Sent
from runner.outcome import Outcome
from runner.report import Refused, Report
from tests.support.service import ServiceProcess, eventually
from tests.support.web import services_of, web_client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis.asyncio import Redis

    from api.queue.shapes import Claim

LIMITS = QueueLimits(max_length=1000, max_bytes=1_000_000)
SUBMISSION = Submission("fibonacci", "{}", "http://receiver.example.com/", 0, 60_000)
LOST = Reason("lost", "gone")
NOT_TAKEN = Reason("quota", "no room")
RESULTS = ("delivered", "dead", "blocked", "given_up", "dropped")
LINE = re.compile(r"^(taskpost_\w+?)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


class Place:
    """A queue, the runners of its tasks, and the metrics before it."""

    def __init__(self, queue: Queue, redis_client: Redis, url: str, instance: str) -> None:
        self.queue = queue
        self.instance = instance
        self.client = connect(url)
        self._redis_client = redis_client

    def another(self, owner: str = "") -> Queue:
        """The queue as another replica sees it."""
        return Queue(self._redis_client, self.instance, owner=owner)

    def report(self, claim: Claim) -> Report:
        names = {
            Env.REDIS_URL: "redis://unused",
            Env.INSTANCE: self.instance,
            Env.TASK_ID: claim.attempt_id.task_id,
            Env.ATTEMPT: str(claim.attempt_id.attempt),
            Env.TOKEN: claim.token,
        }
        return Report(self.client, read_attempt(names))

    async def submit(self, task_type: str = "fibonacci", *, callback: bool = False) -> str:
        url = SUBMISSION.result_url if callback else None
        accepted = await self.queue.submit(replace(SUBMISSION, task_type=task_type, result_url=url), LIMITS)
        return accepted.task.task_id

    async def begin(self, task_type: str = "fibonacci", *, callback: bool = False) -> tuple[Claim, Report]:
        """Submit a task and let its runner begin."""
        await self.submit(task_type, callback=callback)
        claim = await self.queue.claim(1000, {task_type: None})
        assert claim is not None
        report = self.report(claim)
        report.start()
        return claim, report

    async def run(self, outcome: Outcome, task_type: str = "fibonacci", *, callback: bool = False) -> str:
        """Run a task to its end."""
        claim, report = await self.begin(task_type, callback=callback)
        report.finish(outcome, b"x", 0, until=0)
        return claim.attempt_id.task_id

    async def rewind(self, task_id: str, field: str, milliseconds: int) -> None:
        """Let something of a task have been so much earlier."""
        assert self.client.hincrby(f"{key_prefix(self.instance)}task:{task_id}", field, -milliseconds)

    async def metrics(self, queue: Queue | None = None) -> dict[str, float]:
        async with web_client(services_of(queue or self.queue)) as http:
            text = (await http.get("/metrics")).text
        return {f"{name}{{{labels}}}": float(value) for name, labels, value in LINE.findall(text)}


def done() -> Outcome:
    return Outcome(State.DONE, "null", None, 0)


def failed(code: str) -> Outcome:
    return Outcome(State.FAILED, "null", Error(code=code, message="no"), 0)


@pytest.fixture
def place(queue: Queue, redis_client: Redis, valkey_url: str, instance: str) -> Iterator[Place]:
    place = Place(queue, redis_client, valkey_url, instance)
    yield place
    place.client.close()


def ended(outcome: str, task_type: str = "fibonacci") -> str:
    return f'taskpost_tasks_ended_total{{outcome="{outcome}",task_type="{task_type}"}}'


def failures(code: str, task_type: str = "fibonacci") -> str:
    return f'taskpost_tasks_failed_total{{code="{code}",task_type="{task_type}"}}'


def requeued(reason: str, task_type: str = "fibonacci") -> str:
    return f'taskpost_attempts_requeued_total{{reason="{reason}",task_type="{task_type}"}}'


def deliveries(result: str) -> str:
    return f'taskpost_deliveries_total{{result="{result}"}}'


def histogram(name: str, what: str, le: str = "", task_type: str = "fibonacci") -> str:
    bound = f'le="{le}",' if le else ""
    return f'taskpost_task_{name}_seconds_{what}{{{bound}task_type="{task_type}"}}'


async def test_counters_are_there_at_zero_before_the_first_task(place: Place) -> None:
    metrics = await place.metrics()
    for outcome in ("done", "failed", "cancelled"):
        assert metrics[ended(outcome)] == metrics[ended(outcome, "sleep")] == 0
    for result in RESULTS:
        assert metrics[deliveries(result)] == 0


async def test_each_end_is_counted_once_by_type_and_outcome_whoever_ends_the_task(place: Place) -> None:
    await place.run(done())
    await place.run(failed(ErrorCode.TIMED_OUT))
    await place.run(failed("no_text"))  # a code of the task type's own
    await place.run(failed("no_text_42"))
    claim, report = await place.begin()
    found = await place.queue.read(claim.attempt_id.task_id)
    assert found is not None
    assert await conclude(place.queue, found[0], State.FAILED, LOST)
    assert not await conclude(place.queue, found[0], State.FAILED, LOST)
    with pytest.raises(Refused):
        report.finish(done(), b"x", 0, until=0)  # too late
    found = await place.queue.read(await place.submit())
    assert found is not None
    assert await conclude(place.queue, found[0], State.CANCELLED, Reason("cancelled", "by request"))
    metrics = await place.metrics()
    assert [metrics[ended(outcome)] for outcome in ("done", "failed", "cancelled")] == [1, 4, 1]
    assert [metrics[failures(code)] for code in ("timed_out", "custom", "lost")] == [1, 2, 1]
    assert failures("no_text") not in metrics


async def test_an_outcome_that_is_recorded_again_is_counted_once(place: Place) -> None:
    _, report = await place.begin()
    for _ in range(3):
        report.finish(done(), b"x", 0, until=0)
    assert (await place.metrics())[ended("done")] == 1


async def test_a_retry_is_no_end(place: Place) -> None:
    claim, _ = await place.begin()
    assert await place.queue.requeue(claim.attempt_id, LOST, counts_as_loss=False, is_retry=True)
    metrics = await place.metrics()
    assert metrics[ended("failed")] == 0
    assert metrics[requeued("retry")] == 1


async def test_attempts_that_go_back_to_the_queue_are_counted_by_reason(place: Place) -> None:
    for keywords, reason in (
        ({"counts_as_loss": True}, "lost"),
        ({"counts_as_loss": True, "pause_seconds": 0.0}, "not_begun"),
        ({"counts_as_loss": False, "never_started": True}, "not_started"),
        ({"counts_as_loss": False}, "returned"),
    ):
        await place.submit()
        claim = await place.queue.claim(1000, {"fibonacci": None})
        assert claim is not None
        assert await place.queue.requeue(claim.attempt_id, NOT_TAKEN, **keywords)
        assert (await place.metrics())[requeued(reason)] == 1


async def test_wait_start_and_run_time_are_observed_apart(place: Place) -> None:
    task_id = await place.submit()
    await place.rewind(task_id, "waits_since", 20_000)
    claim = await place.queue.claim(1000, {"fibonacci": None})
    assert claim is not None
    await place.rewind(task_id, "claimed", 4_000)
    report = place.report(claim)
    report.start()
    report.start()  # asked again, as after an answer that was lost
    metrics = await place.metrics()
    assert histogram("run", "count") not in metrics
    await place.rewind(task_id, "begun", 100_000)
    report.finish(done(), b"x", 0, until=0)
    metrics = await place.metrics()
    for name, seconds, below, above in (
        ("wait", 20, "10.0", "30.0"),
        ("start", 4, "2.5", "5.0"),
        ("run", 100, "60.0", "300.0"),
    ):
        assert metrics[histogram(name, "count")] == 1
        assert metrics[histogram(name, "bucket", below)] == 0
        assert metrics[histogram(name, "bucket", above)] == metrics[histogram(name, "bucket", "+Inf")] == 1
        assert seconds <= metrics[histogram(name, "sum")] < seconds + 2


async def test_what_takes_longer_than_a_day_is_in_the_last_bucket(place: Place) -> None:
    await place.rewind(await place.submit(), "waits_since", 2 * 86_400_000)
    assert await place.queue.claim(1000, {"fibonacci": None})
    metrics = await place.metrics()
    assert metrics[histogram("wait", "bucket", "86400.0")] == 0
    assert metrics[histogram("wait", "bucket", "+Inf")] == 1


async def test_the_pause_before_a_retry_is_no_wait(place: Place) -> None:
    claim, _ = await place.begin()
    assert await place.queue.requeue(claim.attempt_id, NOT_TAKEN, counts_as_loss=True, pause_seconds=3600)
    delayed = f"{key_prefix(place.instance)}delayed"
    place.client.zadd(delayed, {claim.attempt_id.task_id: 0})  # its pause is over
    await place.rewind(claim.attempt_id.task_id, "waits_since", 3_600_000)
    assert await place.queue.claim(1000, {"fibonacci": None})
    assert (await place.metrics())[histogram("wait", "bucket", "5.0")] == 2


async def test_a_step_of_the_wall_clock_changes_no_time(place: Place) -> None:
    for monotonic_ms in (1_000, 2_000):
        await place.queue.tick("here", monotonic_ms)
    await place.submit()
    # The wall clock is set forward by a day.
    place.client.hincrby(f"{key_prefix(place.instance)}steady", "wall", -86_400_000)
    await place.queue.tick("here", 3_000)
    assert await place.queue.claim(1000, {"fibonacci": None})
    assert (await place.metrics())[histogram("wait", "bucket", "10.0")] == 1


@pytest.mark.parametrize("status", ["delivered", "dead", "blocked"])
async def test_deliveries_are_counted_by_result_and_not_by_try(place: Place, status: str) -> None:
    task_id = await place.run(done(), callback=True)
    token = f"{key_prefix(place.instance)}task:{task_id}"
    for reported in ("pending", "pending", status):
        place.client.hset(token, "delivery_token", "sender")
        await place.queue.deliveries.report(task_id, "sender", reported, 0, Sent("runner", 0, Try("no answer")))
    metrics = await place.metrics()
    counted = {result: metrics[deliveries(result)] for result in RESULTS}
    assert counted == dict.fromkeys(RESULTS, 0) | {status: 1}


async def test_a_delivery_that_a_client_gave_up_is_not_dead_and_counts_again_when_sent_again(
    place: Place,
) -> None:
    task_id = await place.run(done(), callback=True)
    await place.queue.deliveries.give_up(task_id, "not wanted")
    metrics = await place.metrics()
    assert (metrics[deliveries("given_up")], metrics[deliveries("dead")]) == (1, 0)
    await place.queue.deliveries.redeliver(task_id, "http://other.example.com/")  # the move to another URL is no end
    assert (await place.metrics())[deliveries("dead")] == 0
    await place.queue.deliveries.give_up(task_id, "not wanted")
    assert (await place.metrics())[deliveries("given_up")] == 2


async def test_every_replica_reports_the_same(place: Place) -> None:
    await place.run(done())
    here, there = await place.metrics(), await place.metrics(place.another())
    here.pop("taskpost_delivery_late_seconds{}"), there.pop("taskpost_delivery_late_seconds{}")
    assert here == there


async def test_types_beyond_the_bound_share_a_label(place: Place) -> None:
    names = [f"t{number:03}" for number in range(130)]
    for name in names:
        await place.run(done(), name)
    metrics = await place.metrics()
    for family in (
        "taskpost_tasks_ended_total",
        "taskpost_tasks{",
        "taskpost_slots_used{",
        "taskpost_task_run_seconds_count",
    ):
        types = {re.search(r'task_type="([^"]+)"', name)[1] for name in metrics if name.startswith(family)}
        assert "_other" in types
        assert len(types) == 101
    assert metrics[ended("done", "_other")] == 30
    assert sum(value for name, value in metrics.items() if name.startswith("taskpost_tasks_ended_total")) == 130
    kept = [value for name, value in metrics.items() if name.startswith('taskpost_tasks{state="done"')]
    assert sum(kept) == 130
    assert len(metrics) < 101 * 70


async def test_a_removed_type_is_forgotten_when_none_of_its_tasks_is_kept(place: Place) -> None:
    withdrawer = Withdrawer(place.queue, lambda: {"fibonacci": None})  # type: ignore[dict-item]
    await place.run(done())
    task_id = await place.run(done(), "removed")
    await withdrawer.look(0)
    assert (await place.metrics())[ended("done", "removed")] == 1
    for slot in await place.queue.slots():
        await place.queue.release(slot)
    while (await place.queue.sweep(Retention(0, 0, 0, 0))).forgotten:
        pass
    assert await place.queue.read(task_id) is None
    await withdrawer.look(10)
    metrics = await place.metrics()
    assert ended("done", "removed") not in metrics
    assert not any('task_type="removed"' in name for name in metrics)
    assert metrics[ended("done")] == 1  # a type that is there keeps its counters, with or without tasks


async def test_only_the_leader_forgets(place: Place) -> None:
    await place.run(done())
    await place.queue.lead("another", 60)
    with pytest.raises(NotLeading):
        await place.another(owner="us").counters.forget_type("fibonacci")


def test_what_was_counted_survives_a_kill_and_a_new_leader(data_directory: Path) -> None:
    counted = re.compile(rf"^{re.escape(ended('done'))} (\S+)$", re.MULTILINE)

    def count(service: ServiceProcess) -> float:
        found = counted.search(httpx.get(f"{service.url}/metrics").text)
        return float(found[1]) if found else -1

    def submit(service: ServiceProcess) -> None:
        with service.client() as client:
            client.submit("fibonacci", {"n": 10})

    with ServiceProcess(data_directory, concurrency=2) as service:
        assert count(service) == 0
        for _ in range(3):
            submit(service)
        eventually(lambda: count(service) == 3, of="three tasks counted")
        service.kill()
        service.start()
        assert count(service) == 3
        submit(service)
        eventually(lambda: count(service) == 4, of="the fourth task counted")
