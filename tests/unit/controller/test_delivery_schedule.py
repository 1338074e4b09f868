"""The long schedule, with the time of Redis moved on instead of waited for, and whose turn it is."""

from __future__ import annotations

import asyncio

import pytest

from api.controller.deliver import Deliverer
from api.core.task import Reason
from api.queue.conclude import conclude
from api.queue.shapes import Lane, Pool, QueueLimits, Submission
from runner.contract import State
from runner.delivery.post import Try
from runner.delivery.schedule import DELAYS_SECONDS
from runner.delivery.tries import Sent
from tests.support.rooms import room_for

LIMITS = QueueLimits(10_000, 1_000_000)
MEGABYTE = 1_000_000


class Refusing:
    async def post(self, *_, **__):
        return Try("the receiver answered 500", status=500)


async def ended(queue, result_url="http://receiver.example:9000/x", size=0):
    task = (await queue.submit(Submission("sleep", "{}", result_url, 0, 60_000), LIMITS)).task
    assert await conclude(queue, task, State.CANCELLED, Reason("cancelled", "x" * size))
    return task.task_id


async def make_due(queue, redis_client, task_id, host="receiver.example:9000"):
    await redis_client.zadd(f"{queue._prefix}due:{host}", {task_id: 1}, xx=True)
    for lane in ("known", "first"):
        await redis_client.zadd(f"{queue._prefix}hosts:{lane}", {host: 1}, xx=True)


async def attempt(deliverer):
    await deliverer._start_due(asyncio.Event())
    await asyncio.gather(*deliverer._tries)


def sent(standing=None, account="", result=None, **more):
    return Sent("service", 0, result or Try("no"), standing, account, **more)


async def test_a_delivery_is_tried_for_three_days_and_then_dead(queue, redis_client):
    task_id = await ended(queue)
    deliverer = Deliverer(queue, Refusing(), DELAYS_SECONDS)
    for delay_seconds in DELAYS_SECONDS:
        await attempt(deliverer)
        task, _ = await queue.read(task_id)
        assert task.delivery.status == "pending"
        pause_seconds = (task.delivery.next_ms - await queue.now_ms()) / 1000
        assert pause_seconds == pytest.approx(delay_seconds, rel=0.11, abs=0.5)
        await make_due(queue, redis_client, task_id)
    await attempt(deliverer)
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
            await attempt(deliverer)
            assert (await queue.read(task_id))[0].delivery.status == status
        assert (await queue.deliveries.redeliver(task_id)).code == "due"
    assert (await queue.read(task_id))[0].delivery.attempts == 4


async def test_of_many_tries_the_newest_are_kept(queue):
    task_id = await ended(queue)
    for number in range(25):
        assert (await queue.deliveries.redeliver(task_id)).code == "due"
        _, (due,) = await queue.deliveries.claim(room_for(1), 30, "token")
        one = Sent("service", number, Try("no", status=500, answer=f"answer {number}"))
        await queue.deliveries.report(due.task_id, "token", "dead", 0, one)
    found = await queue.deliveries.tries(task_id)
    assert [made.at_ms // 1000 for made in found.tries] == list(range(5, 25))
    assert found.answer == "answer 24"


async def test_a_receiver_of_which_nothing_is_known_gets_one_attempt_and_one_that_answers_its_share(queue):
    for _ in range(5):
        await ended(queue, "http://one.example/x")
    for _ in range(2):
        await ended(queue, "https://User:pass@TWO.example/x")
    room = room_for(100, per_receiver=3, per_unknown=1)
    _, due = await queue.deliveries.claim(room, 30, "token")
    assert {(one.host, one.lane) for one in due} == {("one.example", Lane.FIRST), ("two.example", Lane.FIRST)}
    assert len(due) == 2
    for one in due:
        await queue.deliveries.report(one.task_id, "token", "delivered", 0, sent("good", "10.0.0.1", Try(None)))
    _, due = await queue.deliveries.claim(room, 30, "token")
    assert sorted((one.host, one.lane) for one in due) == 3 * [("one.example", "known")] + [("two.example", "known")]
    _, more = await queue.deliveries.claim(room_for(9, per_receiver=3, receivers={"one.example": (3, 0)}), 30, "token")
    assert more == []


async def test_slow_receivers_share_the_bound_of_their_address_in_turn(queue):
    """However many ports there are: each gets its turn, and one at another address does not wait for them."""
    hosts = [f"silent.example:{port}" for port in range(100, 140)]
    for host in hosts:
        await queue.deliveries.note(f"http://{host}/", "slow", "10.0.0.9")
    await queue.deliveries.note("http://other.example/", "slow", "10.0.0.8")
    for host in hosts:
        for _ in range(3):
            await ended(queue, f"http://{host}/")
    await ended(queue, "http://other.example/")
    room = room_for(200, per_account=16, per_unknown=1)
    seen, accounts = [], {}
    for turn in range(3):
        _, due = await queue.deliveries.claim(room_for(200, per_account=16, accounts=accounts), 30, f"token-{turn}")
        silent = [one for one in due if one.account == "10.0.0.9"]
        assert len(silent) == 16
        assert {one.lane for one in due} == {Lane.AGAIN}
        assert [one.host for one in due if one not in silent] == (["other.example"] if turn == 0 else [])
        seen += [one.host for one in silent]
        _, none = await queue.deliveries.claim(room_for(200, per_account=16, accounts={"10.0.0.9": (16, 0)}), 30, "no")
        assert none == []
    assert len(set(seen)) > 16
    assert room.per_account == 16


async def test_receivers_that_answer_do_not_take_all_places_from_one_address(queue):
    """They may all fall silent at once."""
    for number in range(20):
        await queue.deliveries.note(f"http://a.example:{number}/", "good", "10.0.0.9")
        for _ in range(3):
            await ended(queue, f"http://a.example:{number}/")
    await queue.deliveries.note("http://b.example/", "good", "10.0.0.8")
    last = await ended(queue, "http://b.example/")
    _, due = await queue.deliveries.claim(room_for(100, per_receiver=2, known_per_account=10), 30, "token")
    assert len(due) == 11
    assert last in {one.task_id for one in due}
    used = {"10.0.0.9": (9, 0)}
    _, (due,) = await queue.deliveries.claim(room_for(100, known_per_account=10, known_accounts=used), 30, "token")
    assert due.account == "10.0.0.9"


async def test_a_slow_receiver_that_has_answered_does_not_wait_for_those_that_never_have(queue):
    """It is at their address, and was slow once."""
    await queue.deliveries.note("http://silent.example/", "slow", "10.0.0.9")
    await queue.deliveries.note("http://honest.example/", "good", "10.0.0.9")
    for _ in range(2):
        await queue.deliveries.note("http://honest.example/", "slow", "10.0.0.9")
    await ended(queue, "http://silent.example/")
    honest = await ended(queue, "http://honest.example/")
    _, (due,) = await queue.deliveries.claim(room_for(9, per_account=2, accounts={"10.0.0.9": (2, 0)}), 30, "token")
    assert (due.task_id, due.account) == (honest, "10.0.0.9 answered")
    await queue.deliveries.report(honest, "token", "pending", 0, sent("good", "10.0.0.9"))
    _, (due,) = await queue.deliveries.claim(room_for(9, per_account=0), 30, "token")
    assert (due.task_id, due.account) == (honest, "10.0.0.9")


async def test_a_receiver_that_is_no_longer_slow_leaves_the_slow_ones(queue):
    await queue.deliveries.note("http://one.example/", "slow", "10.0.0.9")
    first, second = await ended(queue, "http://one.example/"), await ended(queue, "http://one.example/")
    _, (due,) = await queue.deliveries.claim(room_for(1), 30, "token")
    assert (due.task_id, due.lane) == (first, Lane.AGAIN)
    await queue.deliveries.report(first, "token", "delivered", 0, sent("good", "10.0.0.9", Try(None)))
    full = room_for(5, accounts={"10.0.0.9": (5, 0)})
    _, (due,) = await queue.deliveries.claim(full, 30, "token")
    assert (due.task_id, due.lane) == (second, Lane.KNOWN)


async def test_however_many_receivers_there_are_each_is_reached(queue):
    for number in range(400):
        await ended(queue, f"http://host-{number}.example/")
    seen, busy = set(), {}
    while True:
        next_seconds, due = await queue.deliveries.claim(room_for(7, per_unknown=1, receivers=busy), 30, "token")
        if not due and (next_seconds is None or next_seconds > 1):
            break
        for one in due:
            seen.add(one.host)
            busy[one.host] = (1, 0)
    assert len(seen) == 400


async def test_a_body_is_claimed_only_when_there_is_room_for_it(queue):
    """Bodies of 3 MB and room for 10: three of a receiver's share of 9, one of another; small ones pass at any time."""
    large = {await ended(queue, f"http://{host}.example/", 3 * MEGABYTE): host for host in "aaaabbb"}
    small = await ended(queue, "http://c.example/")
    bounds = {"share_bytes": 9_100_000, "small_bytes": 65_536, "per_account": 100}
    room = room_for(100, quick=Pool(100, 0, 13_000_000), **bounds)
    _, due = await queue.deliveries.claim(room, 30, "token")
    assert sorted(large.get(one.task_id, "c") for one in due) == ["a", "a", "a", "b", "c"]
    assert small in {one.task_id for one in due}
    assert all(one.body_bytes > 3 * MEGABYTE for one in due if one.task_id != small)
    held = room_for(100, quick=Pool(95, 12_100_000, 13_000_000), receivers={"a.example": (3, 9_000_000)}, **bounds)
    _, none = await queue.deliveries.claim(held, 30, "token")
    assert none == []


async def test_a_body_larger_than_any_bound_is_claimed_alone(queue):
    await ended(queue, "http://a.example/", 3 * MEGABYTE)
    bounds = {"share_bytes": MEGABYTE, "small_bytes": 65_536}
    _, none = await queue.deliveries.claim(room_for(9, quick=Pool(9, 1, 2 * MEGABYTE), **bounds), 30, "token")
    assert none == []
    for _ in range(20):
        await ended(queue, "http://b.example/", 500_000)  # what comes after it does not pass it
    _, none = await queue.deliveries.claim(room_for(9, quick=Pool(9, 1, 2 * MEGABYTE), **bounds), 30, "token")
    assert none == []
    _, due = await queue.deliveries.claim(room_for(9, quick=Pool(9, 0, 2 * MEGABYTE), **bounds), 30, "token")
    assert [one.host for one in due] == ["a.example"]


async def test_a_lease_that_is_extended_does_not_run_out(queue, redis_client):
    task_id = await ended(queue)
    await queue.deliveries.claim(room_for(1), 30, "token")
    for token, seconds in (("another", 30), ("token", 90)):
        await queue.deliveries.extend([(task_id, token)], 90)
        due_ms = await redis_client.zscore(f"{queue._prefix}due:receiver.example:9000", task_id)
        assert due_ms - await queue.now_ms() == pytest.approx(seconds * 1000, abs=5000)


async def test_a_delivery_whose_attempts_are_never_recorded_is_given_up(queue, redis_client):
    """Whoever leases it dies each time: it does not take others with it for ever."""
    task_id = await ended(queue)
    leases = 0
    while (await queue.read(task_id))[0].delivery.status != "dead":
        await make_due(queue, redis_client, task_id)
        await queue.deliveries.claim(room_for(1), 30, "token")
        leases += 1
        assert leases < 20
    delivery = (await queue.read(task_id))[0].delivery
    assert leases == 14
    assert "without a record" in delivery.last_error
    assert (await queue.deliveries.redeliver(task_id)).code == "due"
    assert len((await queue.deliveries.claim(room_for(1), 30, "token"))[1]) == 1


@pytest.mark.parametrize("kind", ["task", "body"])
async def test_a_record_that_somebody_spoilt_stops_no_other_delivery(queue, redis_client, kind):
    spoilt, whole = await ended(queue), await ended(queue)
    await redis_client.delete(f"{queue._prefix}{kind}:{spoilt}")
    await redis_client.lpush(f"{queue._prefix}{kind}:{spoilt}", "x")
    _, due = await queue.deliveries.claim(room_for(9), 30, "token")
    assert whole in {one.task_id for one in due}


async def test_what_is_known_of_receivers_is_bounded_and_expires(queue, redis_client):
    for number in range(50):
        await queue.deliveries.note(f"http://host-{number}.example/", "good", "10.0.0.1")
    assert await redis_client.hlen(f"{queue._prefix}receivers") == 50
    names = {f"made-{number}": 2**50 for number in range(10_000)}
    await redis_client.zadd(f"{queue._prefix}receivers_known", names)
    await queue.deliveries.claim(room_for(1), 30, "token")
    assert await redis_client.hlen(f"{queue._prefix}receivers") == 0
    assert await redis_client.zcard(f"{queue._prefix}receivers_known") == 10_000
    await redis_client.zadd(f"{queue._prefix}receivers_known", dict.fromkeys(names, 1))
    await queue.deliveries.note("http://" + 1000 * "x" + "/", "good", "10.0.0.1")
    for _ in range(100):
        await queue.deliveries.claim(room_for(1), 30, "token")
    assert await redis_client.zcard(f"{queue._prefix}receivers_known") == 0
    assert await redis_client.hlen(f"{queue._prefix}receivers") == 0
