"""What waits for delivery is bounded in bytes; a delivery can be given up, and sent to another URL."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest
from taskpost import ApiError

from api.cancellation import cancel
from api.controller.sweep import sweep
from api.core.task import Reason
from api.queue.queue import SWEEP_STEP, Queue
from api.queue.shapes import Accepted, QueueLimits, Retained, Retention, Submission
from runner.attempt import read_attempt
from runner.connect import connect, connect_async
from runner.contract import Env, State, key_prefix
from runner.delivery.guard import Policy
from runner.delivery.post import Try
from runner.delivery.tries import Sent
from runner.outcome import Outcome
from runner.report import Report
from tests.support.rooms import room_for
from tests.support.service import ServiceProcess, eventually
from tests.support.wait import until
from tests.support.web import services_of, web_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx
    from redis.asyncio import Redis
    from taskpost import Client

    from api.queue.shapes import Claim, Page
    from runner.delivery.receiver import Standing
    from tests.support.valkey import ValkeyServer

KIBIBYTE = 1024
LIMITS = QueueLimits(
    max_length=1000,
    max_bytes=1_000_000,
    undelivered_max_bytes=400 * KIBIBYTE,
    undelivered_max_bytes_per_receiver=100 * KIBIBYTE,
)
HANGS, OTHER = "http://hangs.example.com/", "http://other.example.com/"
RETENTION = Retention(3600, 1000, 10_000_000, 10_000_000)
ROOM = room_for(100)


class Place:
    """A queue, the runners of its tasks, and HTTP before it."""

    def __init__(self, queue: Queue, url: str, instance: str, http: httpx.AsyncClient) -> None:
        self.queue, self.http = queue, http
        self._instance = instance
        self._client = connect(url)

    def close(self) -> None:
        self._client.close()

    async def post(self, url: str | None, **headers: str) -> httpx.Response:
        body = {"task_type": "fibonacci", "task_input": {"n": 1}, "result_url": url}
        return await self.http.post("/api/tasks", json=body, headers=headers)

    def report(self, claim: Claim) -> Report:
        names = {
            Env.REDIS_URL: "redis://unused",
            Env.INSTANCE: self._instance,
            Env.TASK_ID: claim.attempt_id.task_id,
            Env.ATTEMPT: str(claim.attempt_id.attempt),
            Env.TOKEN: claim.token,
        }
        return Report(self._client, read_attempt(names))

    async def end(self, size: int, *, tried: bool = True) -> str:
        """Run the next task to its end, with a result of a size, and a first try that has failed."""
        claim = await self.queue.claim(1000, {"fibonacci": None})
        assert claim is not None
        task_id, report = claim.attempt_id.task_id, self.report(claim)
        started = report.start()
        report.finish(Outcome(State.DONE, "null", None, 0), b"x" * size, started.now_ms, until=0)
        if tried:
            await self.fail(task_id)
        return task_id

    async def fail(self, task_id: str, standing: Standing | None = None) -> None:
        """Let an attempt of its delivery fail, made by the runner or by the service."""
        self._client.hset(f"{key_prefix(self._instance)}task:{task_id}", "delivery_token", "sender")
        failed = Sent("runner", 0, Try("no answer within 5 s"), standing=standing)
        await self.queue.deliveries.report(task_id, "sender", "pending", 1000, failed)

    async def save_and_lose(self, data: str, why: str = "gone") -> bytes | None:
        """Run the next task until it has saved something, and lose its attempt; return what was saved before."""
        claim = await self.queue.claim(1000, {"fibonacci": None})
        assert claim is not None
        report = self.report(claim)
        before = report.start().checkpoint
        report.save(data)
        await self.queue.requeue(claim.attempt_id, Reason("attempt_lost", why), counts_as_loss=True)
        return before

    async def list(self) -> Page:
        return await self.queue.list(cursor=None, limit=10, states=State, task_type=None)

    async def fill(self, url: str, number: int, size: int, *, tried: bool = True) -> list[str]:
        """As many results waiting for a receiver: all were accepted before the first came."""
        for _ in range(number):
            assert (await self.post(url)).status_code == 202
        return [await self.end(size, tried=tried) for _ in range(number)]

    async def task(self, task_id: str) -> dict[str, Any]:
        return (await self.http.get(f"/api/tasks/{task_id}")).json()

    async def delivery(self, task_id: str) -> str:
        return (await self.task(task_id))["delivery"]["status"]

    async def undelivered(self) -> int:
        return (await self.queue.counts()).undelivered_bytes


@pytest.fixture
async def place(queue: Queue, valkey_url: str, instance: str) -> AsyncIterator[Place]:
    async with web_client(services_of(queue, queue_limits=LIMITS)) as http:
        place = Place(queue, valkey_url, instance, http)
        yield place
        place.close()


# ------------------------------------------------------------------------------------------------------ the bounds


async def test_submissions_to_a_receiver_with_a_full_backlog_are_refused_and_others_are_not(place: Place) -> None:
    await place.fill(HANGS, 4, 24 * KIBIBYTE)
    refused = await place.post(HANGS)
    assert refused.status_code == 429
    body = refused.json()
    assert body["code"] == "undelivered_full"
    assert int(refused.headers["retry-after"]) > 0
    assert str(await place.undelivered()) in body["detail"]
    assert str(LIMITS.undelivered_max_bytes_per_receiver) in body["detail"]
    assert "/delivery" in body["detail"]
    for url in (OTHER, "http://hangs.example.com:81/", None):
        assert (await place.post(url)).status_code == 202


async def test_the_same_receiver_in_other_spellings_is_refused_too(place: Place) -> None:
    await place.fill(HANGS, 4, 24 * KIBIBYTE)
    for url in ("http://HANGS.example.com/", "https://hangs.example.com/x?y", "http://u:p@hangs.example.com/"):
        assert (await place.post(url)).status_code == 429


async def test_what_accepted_tasks_can_still_bring_counts(place: Place) -> None:
    """One result of a quarter of the bound has failed: three more are accepted and not a fourth."""
    await place.fill(HANGS, 1, 23 * KIBIBYTE)
    answers = [(await place.post(HANGS)).status_code for _ in range(5)]
    assert answers == [202, 202, 202, 429, 429]
    await place.end(100, tried=False)  # a small one came instead: there is room again
    assert (await place.post(HANGS)).status_code == 202


async def test_a_receiver_that_answers_is_not_held_to_the_size_of_what_is_on_its_way(place: Place) -> None:
    await place.fill(HANGS, 2, 24 * KIBIBYTE, tried=False)
    for _ in range(30):
        assert (await place.post(HANGS)).status_code == 202


@pytest.mark.parametrize(("standing", "answers"), [("slow", 429), ("failed", 429), ("good", 202)])
async def test_what_a_receiver_was_like_last_counts_too(place: Place, standing: Standing, answers: int) -> None:
    """Of a receiver that hangs the oldest are dropped, so that those that wait have not been tried yet."""
    (tried,) = await place.fill(HANGS, 1, 0, tried=False)
    await place.fill(HANGS, 3, 24 * KIBIBYTE, tried=False)
    await place.fail(tried, standing)
    await place.http.delete(f"/api/tasks/{tried}/delivery")
    assert {(await place.post(HANGS)).status_code for _ in range(3)} >= {answers}
    assert (await place.post(HANGS)).status_code == answers


async def test_a_replay_is_answered_whatever_waits(place: Place) -> None:
    first = await place.post(HANGS, **{"Idempotency-Key": "k"})
    await place.end(0)
    await place.fill(HANGS, 4, 24 * KIBIBYTE)
    again = await place.post(HANGS, **{"Idempotency-Key": "k"})
    assert (again.status_code, again.json()["task"]["task_id"]) == (202, first.json()["task"]["task_id"])


async def test_when_results_come_all_the_same_the_oldest_are_dropped_and_say_so(place: Place) -> None:
    task_ids = await place.fill(HANGS, 10, 24 * KIBIBYTE)
    done = await place.queue.sweep(RETENTION)
    lost = {one.task_id for one in done.dropped}
    kept = [task_id for task_id in task_ids if await place.delivery(task_id) == "pending"]
    dead = [task_id for task_id in task_ids if task_id not in kept]
    assert kept and kept == task_ids[-len(kept) :], "the oldest go"
    assert lost == set(dead), "each is logged once, whoever dropped it"
    assert {one.receiver for one in done.dropped} == {"hangs.example.com"}
    assert await place.undelivered() <= LIMITS.undelivered_max_bytes_per_receiver
    for task_id in dead:
        task = await place.task(task_id)
        assert task["task_status"] == "done"
        assert task["delivery"]["status"] == "dead"
        assert "oldest" in task["delivery"]["last_error"]
        answer = await place.http.get(f"/api/tasks/{task_id}/result")
        assert (answer.status_code, answer.json()["code"]) == (410, "result_dropped")
        assert answer.json()["detail"].count("dropped") == 1
        assert task["delivery"]["last_error"] in answer.json()["detail"]
        again = await place.http.post(f"/api/tasks/{task_id}/redeliver")
        assert (again.status_code, again.json()["code"]) == (410, "result_dropped")
    listed = (await place.http.get("/api/deliveries?status=dead")).json()
    assert {one["task_id"] for one in listed} == set(dead)
    assert f"taskpost_results_dropped_total {len(dead)}.0" in (await place.http.get("/metrics")).text
    assert (await place.queue.sweep(RETENTION)).dropped == ()


async def test_no_more_is_held_than_the_bounds_and_a_result_for_each_slot(place: Place) -> None:
    """Nobody sweeps: to give a slot makes room first."""
    size = 24 * KIBIBYTE
    await place.fill(HANGS, 30, size)
    assert await place.undelivered() <= LIMITS.undelivered_max_bytes_per_receiver + 2 * size


async def test_over_the_bound_of_all_those_with_a_share_are_refused_and_the_largest_backlog_is_cut(
    place: Place,
) -> None:
    """A receiver that is down for an hour with little waiting does not pay for many that are flooded."""
    (honest,) = await place.fill(OTHER, 1, KIBIBYTE)
    for number in range(6):
        await place.fill(f"http://flooded-{number}.example.com/", 3, 24 * KIBIBYTE)
    await place.queue.sweep(RETENTION)
    assert await place.undelivered() <= LIMITS.undelivered_max_bytes
    assert await place.delivery(honest) == "pending"
    for _ in range(5):
        assert (await place.post(OTHER)).status_code == 202
        assert (await place.post("http://new.example.com/")).status_code == 202
    refused = await place.post("http://flooded-5.example.com/")
    assert (refused.status_code, refused.json()["code"]) == (429, "undelivered_full")
    assert "all receivers" in refused.json()["detail"]


async def test_results_that_wait_do_not_push_out_those_that_are_kept(place: Place) -> None:
    assert (await place.post(None)).status_code == 202
    kept = await place.end(10, tried=False)
    await place.fill(HANGS, 3, 24 * KIBIBYTE)
    await place.queue.sweep(Retention(3600, 1000, 10 * KIBIBYTE, 0))
    assert (await place.http.get(f"/api/tasks/{kept}/result")).status_code == 200


async def test_what_is_kept_is_bounded_when_slots_are_given_too(place: Place) -> None:
    limits = QueueLimits(1000, 1_000_000, kept_max_bytes=50 * KIBIBYTE)
    for _ in range(20):
        await place.queue.submit(Submission("fibonacci", "{}", None, 0, 60_000), limits)
    for _ in range(20):
        task_id = await place.end(20 * KIBIBYTE, tried=False)
        (slot,) = [one for one in await place.queue.slots() if one.attempt_id.task_id == task_id]
        await place.queue.release(slot)
    assert (await place.queue.counts()).kept_bytes <= (50 + 22) * KIBIBYTE


async def test_results_that_wait_do_not_hide_those_that_can_be_forgotten(place: Place) -> None:
    """Retention looks at a hundred tasks in a step; before, it paused when it could forget none of them."""
    for number in range(4):
        await place.fill(f"http://hangs{number}.example.com/", SWEEP_STEP * 6 // 10, 1)
    for _ in range(5):
        await place.post(None)
        await place.end(20 * KIBIBYTE, tried=False)
    for slot in await place.queue.slots():
        await place.queue.release(slot)
    sweeping = asyncio.create_task(sweep(place.queue, Retention(3600, 1000, 30 * KIBIBYTE, 0), asyncio.Event()))

    async def is_bounded() -> bool:
        return (await place.queue.counts()).kept_bytes <= 30 * KIBIBYTE

    await until(is_bounded)
    await cancel(sweeping)


async def test_retention_of_tasks_that_are_all_needed_pauses_after_each_pass(place: Place) -> None:
    await place.fill(HANGS, 30, 1)
    for slot in await place.queue.slots():
        await place.queue.release(slot)
    steps, step, wake = 0, place.queue.sweep, asyncio.Event()

    async def count(retention: Retention) -> Retained:
        nonlocal steps
        steps += 1
        return await step(retention)

    place.queue.sweep = count  # type: ignore[method-assign]
    sweeping = asyncio.create_task(sweep(place.queue, Retention(3600, 1, 1, 0), wake))
    for _ in range(3):
        wake.set()
        await until(lambda: not wake.is_set())
    await cancel(sweeping)
    assert steps <= 4


async def test_dead_ones_are_made_again_only_as_far_as_there_is_room(place: Place) -> None:
    """To make them all due would drop the oldest of them."""
    task_ids = await place.fill(HANGS, 4, 23 * KIBIBYTE)
    for task_id in task_ids:
        assert (await place.http.delete(f"/api/tasks/{task_id}/delivery")).status_code == 200
    later = await place.fill(HANGS, 2, 23 * KIBIBYTE)
    answer = (await place.http.post("/api/deliveries/redeliver", json={})).json()
    assert answer == {"redelivered": 2, "no_room": 2, "cursor": None}
    refused = await place.http.post(f"/api/tasks/{task_ids[-1]}/redeliver")
    assert (refused.status_code, refused.json()["code"]) == (429, "undelivered_full")
    assert (await place.queue.sweep(RETENTION)).dropped == ()
    for task_id in (*task_ids, *later):
        assert (await place.http.get(f"/api/tasks/{task_id}/result")).status_code == 200


async def test_tries_and_answers_count(place: Place) -> None:
    """Twenty long answers of a receiver that is to be asked again are held in memory as a result is."""
    (task_id,) = await place.fill(HANGS, 1, 0)
    before = await place.undelivered()
    for _ in range(30):
        await place.http.post(f"/api/tasks/{task_id}/redeliver")
        await place.queue.deliveries.claim(ROOM, 30, "t")
        made = Try("x" * 300, answer="y" * 1000)
        await place.queue.deliveries.report(task_id, "t", "pending", 1000, Sent("service", 0, made))
    assert 20 * 300 + 1000 <= await place.undelivered() - before <= 20 * 400 + 1000


# -------------------------------------------------------------------------------------------- given up, sent elsewhere


async def test_a_delivery_is_given_up_and_asked_for_again(place: Place) -> None:
    (task_id,) = await place.fill(HANGS, 1, 10)
    for _ in range(2):
        answer = await place.http.delete(f"/api/tasks/{task_id}/delivery")
        assert answer.status_code == 200
        assert answer.json()["delivery"]["status"] == "dead"
        assert "given up" in answer.json()["delivery"]["last_error"]
    assert await place.undelivered() == 0
    assert (await place.queue.deliveries.claim(ROOM, 30, "t"))[1] == []
    assert (await place.http.get(f"/api/tasks/{task_id}/result")).status_code == 200
    assert [one["task_id"] for one in (await place.http.get("/api/deliveries?status=dead")).json()] == [task_id]
    assert (await place.http.post(f"/api/tasks/{task_id}/redeliver")).status_code == 202
    assert await place.delivery(task_id) == "pending"


@pytest.mark.parametrize(("status", "left"), [("pending", "dead"), ("dead", "dead"), ("delivered", "delivered")])
async def test_a_try_under_way_when_it_is_given_up_can_only_deliver_it(place: Place, status: str, left: str) -> None:
    (task_id,) = await place.fill(HANGS, 1, 10)
    await place.http.post(f"/api/tasks/{task_id}/redeliver")
    await place.queue.deliveries.claim(ROOM, 30, "t")
    assert (await place.http.delete(f"/api/tasks/{task_id}/delivery")).status_code == 200
    await place.queue.deliveries.report(task_id, "t", status, 0, Sent("service", 0, Try(None, status=204)))
    assert await place.delivery(task_id) == left


async def test_what_cannot_be_given_up_says_why(place: Place) -> None:
    unknown = "0198c0de-7e57-7000-8abc-0123456789ab"
    waiting = (await place.post(OTHER)).json()["task"]["task_id"]
    task_ids = [unknown, "nonsense", waiting]
    found = [await place.http.delete(f"/api/tasks/{task_id}/delivery") for task_id in task_ids]
    ended = await place.end(0)
    await place.queue.deliveries.report(ended, "", "delivered", 0, Sent("service", 0, Try(None, status=200)))
    await place.post(None)
    task_ids = [ended, await place.end(0, tried=False)]
    found += [await place.http.delete(f"/api/tasks/{task_id}/delivery") for task_id in task_ids]
    assert [(answer.status_code, answer.json()["code"]) for answer in found] == [
        (404, "task_not_found"),
        (404, "task_not_found"),
        (409, "not_ended"),
        (409, "already_delivered"),
        (409, "no_callback"),
    ]


@pytest.mark.parametrize("under_way", [False, True])
async def test_a_delivery_goes_to_another_url(place: Place, *, under_way: bool) -> None:
    (task_id,) = await place.fill(HANGS, 1, 10)
    if under_way:
        await place.http.post(f"/api/tasks/{task_id}/redeliver")
        _, (leased,) = await place.queue.deliveries.claim(ROOM, 30, "old")
        assert leased.result_url == HANGS
    answer = await place.http.post(f"/api/tasks/{task_id}/redeliver", json={"result_url": OTHER})
    assert answer.status_code == 202
    assert (answer.json()["result_url"], answer.json()["delivery"]["status"]) == (OTHER, "pending")
    # Nothing that the old try says is heard any more, not even that it went through.
    for status in ("delivered", "dead", "pending"):
        await place.queue.deliveries.report(task_id, "old", status, 0, Sent("service", 0, Try(None, status=200)))
        assert await place.delivery(task_id) == "pending"
    _, (leased,) = await place.queue.deliveries.claim(ROOM, 30, "new")
    assert (leased.task_id, leased.result_url, leased.tries) == (task_id, OTHER, 0)
    await place.queue.deliveries.report(task_id, "new", "delivered", 0, Sent("service", 0, Try(None, status=200)))
    assert await place.delivery(task_id) == "delivered"
    assert await place.undelivered() == 0


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ('{"result_url": "ftp://example.com/"}', "invalid_request", "/result_url"),
        ('{"result_url": 5}', "invalid_request", "/result_url"),
        ('{"result_url": "http://169.254.169.254/"}', "invalid_request", "/result_url"),
        ('{"result_url": "http://denied.example.com/"}', "invalid_request", "/result_url"),
        ('{"result_url": "http://e.example/' + "x" * 2048 + '"}', "invalid_request", "/result_url"),
        ('{"url": "http://example.com/"}', "invalid_request", "/url"),
        ("[]", "invalid_request", ""),
        ("{", "invalid_json", None),
        ('{"result_url": "http://a/", "result_url": "http://b/"}', "invalid_json", None),
    ],
)
async def test_a_new_url_is_checked_as_at_submission(
    queue: Queue, place: Place, body: str, code: str, pointer: str | None
) -> None:
    (task_id,) = await place.fill(HANGS, 1, 10)
    policy = Policy(deny=("denied.example.com",)) if "denied" in body else Policy()
    async with web_client(services_of(queue, queue_limits=LIMITS, callback_policy=policy)) as http:
        headers = {"content-type": "application/json"}
        answer = await http.post(f"/api/tasks/{task_id}/redeliver", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    if pointer is not None:
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    if pointer == "/url":
        assert answer.json()["errors"][0]["detail"] == "Unknown member; allowed: result_url"
    assert (await place.task(task_id))["result_url"] == HANGS


@pytest.mark.parametrize("body", [b"", b"{}", b'{"result_url": null}', b'{"result_url": "http://hangs.example.com/"}'])
async def test_without_a_new_url_it_goes_where_it_went(place: Place, body: bytes) -> None:
    (task_id,) = await place.fill(HANGS, 1, 10)
    headers = {"content-type": "application/json"}
    answer = await place.http.post(f"/api/tasks/{task_id}/redeliver", content=body, headers=headers)
    assert (answer.status_code, answer.json()["result_url"]) == (202, HANGS)


async def test_a_new_url_needs_room_at_its_receiver(place: Place) -> None:
    (task_id,) = await place.fill(OTHER, 1, 24 * KIBIBYTE)
    await place.fill(HANGS, 4, 24 * KIBIBYTE)
    answer = await place.http.post(f"/api/tasks/{task_id}/redeliver", json={"result_url": HANGS})
    assert (answer.status_code, answer.json()["code"]) == (429, "undelivered_full")
    assert (await place.task(task_id))["result_url"] == OTHER


# ------------------------------------------------------------------------------------------------- idempotency keys


async def keyed(queue: Queue, number: int, limits: QueueLimits, key: str = "{}") -> list[Any]:
    tasks = (Submission("fibonacci", "{}", None, 0, 1000, key.format(index), "d") for index in range(number))
    return [await queue.submit(task, limits) for task in tasks]


async def test_a_long_key_costs_what_a_short_one_does(own_valkey: ValkeyServer) -> None:
    """And little: 599 bytes before."""
    sizes = []
    for key in ("{}", "{:x>255}"):
        async with connect_async(own_valkey.url) as client:
            await client.flushall()
            queue = Queue(client, "keys")
            await keyed(queue, 2000, QueueLimits(10_000, 10**9), key)
            names = [name async for name in client.scan_iter(match="*keys:*")]
            sizes.append(sum([await client.memory_usage(name, samples=0) or 0 for name in names]) / 2000)
            assert not [name async for name in client.scan_iter(match="*xxxx*")], "no key is kept as it came"
    assert max(sizes) <= 150
    assert abs(sizes[0] - sizes[1]) < 10


async def test_the_number_of_keys_is_bounded_and_none_is_forgotten_for_another(place: Place) -> None:
    limits = QueueLimits(1000, 1_000_000, max_keys=5)
    first = await keyed(place.queue, 5, limits)
    (refused,) = (await keyed(place.queue, 6, limits))[5:]
    assert refused.code == "full_keys"
    assert 24 * 3600 * 1000 <= int(refused.detail) <= 25 * 3600 * 1000
    again = await keyed(place.queue, 5, limits)
    assert [reply.task.task_id for reply in again] == [reply.task.task_id for reply in first]
    assert all(reply.replayed for reply in again)
    async with web_client(services_of(place.queue, queue_limits=limits)) as http:
        body = {"task_type": "fibonacci", "task_input": {"n": 1}, "result_url": None}
        answer = await http.post("/api/tasks", json=body, headers={"Idempotency-Key": "strange"})
        assert (answer.status_code, answer.json()["code"]) == (429, "idempotency_full")
        assert 24 * 3600 <= int(answer.headers["retry-after"]) <= 25 * 3600
        assert (await http.post("/api/tasks", json=body)).status_code == 202
        assert "taskpost_idempotency_keys 5.0" in (await http.get("/metrics")).text


async def test_keys_are_known_for_24_hours_and_then_there_is_room(
    place: Place, redis_client: Redis, instance: str
) -> None:
    """The steady clock is moved on; how far it is from the wall clock does not matter."""
    limits = QueueLimits(1000, 1_000_000, max_keys=3)
    now, prefix = await place.queue.now_ms(), f"{{taskpost:{instance}}}:"

    async def at(hours: float) -> None:
        await redis_client.hset(f"{prefix}steady", mapping={"now": now + int(hours * 3_600_000), "wall": 1})

    for hours in (0.0, 0.9, 1.1):
        await at(hours)
        reply = await place.queue.submit(Submission("fibonacci", "{}", None, 0, 1000, f"a{hours}", "d"), limits)
        assert isinstance(reply, Accepted) and not reply.replayed
    for hours, known in ((23.9, (True, True, True)), (24.95, (True, True, True)), (25.05, (False, False, True))):
        await at(hours)
        found = [
            await place.queue.submit(
                Submission("fibonacci", "{}", None, 0, 1000, f"a{began}", "other"), QueueLimits(0, 0)
            )
            for began in (0.0, 0.9, 1.1)
        ]
        assert tuple(reply.code == "conflict" for reply in found) == known


async def test_what_tasks_save_is_bounded_as_their_input_is(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    """Tasks that wait take what they have saved with them."""
    limits = QueueLimits(1000, 2400)
    for _ in range(2):
        await place.queue.submit(Submission("fibonacci", "{}", None, 0, 60_000), limits)
    first, second = [await place.queue.claim(1000, {"fibonacci": None}) for _ in range(2)]
    assert first is not None and second is not None
    for claim in (first, second):
        place.report(claim).start()
    place.report(first).save("1" * 2500)
    place.report(second).save("1")
    await place.queue.requeue(first.attempt_id, Reason("attempt_lost", "gone"), counts_as_loss=True)
    (refused,) = await keyed(place.queue, 1, limits)
    assert refused.code == "full_bytes"
    assert not capfd.readouterr().err
    place.report(second).save("2" * 2500)
    assert "what was saved before stays" in capfd.readouterr().err
    await place.queue.requeue(second.attempt_id, Reason("attempt_lost", "gone"), counts_as_loss=True)
    claims = [await place.queue.claim(1000, {"fibonacci": None}) for _ in range(2)]
    assert [place.report(claim).start().checkpoint for claim in claims if claim] == [b"1" * 2500, b"1"]


async def test_what_is_told_of_attempts_is_bounded(place: Place) -> None:
    await place.post(None)
    for _ in range(8):
        await place.save_and_lose("0", "why " * 400)
    (task,) = [await place.queue.look(one.task_id) for one in (await place.list()).tasks]
    assert task.task is not None
    assert [past.attempt for past in task.task.past] == [7, 8]
    assert (await place.queue.counts()).queued_bytes < 4096 + 100


# -------------------------------------------------------------------------------------------------- the whole service


def test_results_for_a_host_that_hangs_do_not_fill_redis(data_directory: Path) -> None:
    """The issue's 190 POSTs of 120 bytes, smaller: each makes a large result, and nobody takes it."""
    bounds = {
        "result_max_bytes": 250_000,
        "undelivered_max_bytes_per_receiver": 400_000,
        "undelivered_max_bytes": 10**6,
    }
    with (
        socket.create_server(("127.0.0.1", 0), backlog=100) as hanging,
        ServiceProcess(data_directory, concurrency=2, **bounds) as service,
        service.client() as client,
    ):
        url = f"http://127.0.0.1:{hanging.getsockname()[1]}/"
        primes = {"limit": 300_000, "list": True}
        task_ids = [client.submit("prime_numbers", primes, result_url=url).task.task_id for _ in range(8)]
        client.wait_all(task_ids, timeout_seconds=120)
        # Whoever makes room does so at once, and the last ones that came stay.
        eventually(lambda: len(list(client.list_deliveries("dead"))) >= 6, of="the oldest are dead")
        assert {dead.task_id for dead in client.list_deliveries("dead")} < set(task_ids)
        assert len(list(client.list_deliveries("pending"))) in {1, 2}
        eventually(lambda: service.log().count("result_dropped") >= 6, of="each is in the log")
        with pytest.raises(ApiError) as dropped:
            client.result(next(client.list_deliveries("dead")).task_id)
        assert (dropped.value.status, dropped.value.code) == (410, "result_dropped")
        # And those that would make more of it are refused once an attempt has told what the receiver is like.
        eventually(lambda: refused(client, url), of="another submission is refused")
        task_id = client.submit("prime_numbers", primes, result_url=None).task.task_id
        assert client.wait(task_id, timeout_seconds=60).task_status == "done"


def refused(client: Client, url: str) -> bool:
    try:
        client.submit("sleep", {"seconds": 0}, result_url=url)
    except ApiError as error:
        return (error.status, error.code) == (429, "undelivered_full")
    return False
