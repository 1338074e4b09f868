"""What is kept of the output of attempts: bounded for each task and in total, and gone with its task."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from api.core.log_tail import LogTail
from api.core.observation import AttemptId
from api.core.task_types import RetryRule
from api.queue.errors import NotLeading
from api.queue.queue import Queue
from api.queue.shapes import QueueLimits, Retention, Slot, Submission
from runner.attempt import read_attempt
from runner.connect import connect, connect_async
from runner.contract import State, log_entry
from runner.outcome import Outcome, failed
from runner.report import Refused, Report

LIMITS = QueueLimits(100, 1_000_000)
SUBMISSION = Submission("sleep", "{}", None, 0, 60_000)
ENTRY_BYTES = 512
MUCH = 10 * 1024 * 1024
NO_TASK = AttemptId("0198c0de-7e57-7000-8abc-0123456789ab", 1)


async def claimed(queue):
    await queue.submit(SUBMISSION, LIMITS)
    return (await queue.claim(100, {"sleep": None})).attempt_id


async def keep(queue, attempt_id, data=b"text", max_bytes=MUCH, **more):
    return await queue.logs.keep(attempt_id, LogTail(data, **more), max_bytes, replace=True)


async def kept(queue, attempt_id):
    return (await queue.logs.read(attempt_id.task_id)).attempts


async def log_bytes(queue):
    return (await queue.counts()).log_bytes


async def test_it_comes_back_as_it_was_byte_for_byte(queue):
    attempt_id = await claimed(queue)
    log = LogTail(bytes(range(256)) + b"\n\n1x\n", truncated=True, note="why it is not whole")
    assert await queue.logs.keep(attempt_id, log, MUCH, replace=True)
    found = await queue.logs.read(attempt_id.task_id)
    assert found.attempts == {1: log}
    assert (found.state, found.task_type, found.attempt) == (State.STARTING, "sleep", 1)
    assert not found.dropped


async def test_a_note_of_several_lines_does_not_become_output(queue):
    attempt_id = await claimed(queue)
    await keep(queue, attempt_id, b"", note="one\ntwo \ud800")
    assert (await kept(queue, attempt_id))[1] == LogTail(note="one two \\ud800")


async def test_it_is_finished_when_its_slot_is_free(queue):
    attempt_id = await claimed(queue)
    await keep(queue, attempt_id)
    assert (await queue.logs.read(attempt_id.task_id)).unfinished
    await queue.release(Slot(attempt_id, "sleep"))
    assert not (await queue.logs.read(attempt_id.task_id)).unfinished


async def test_a_later_log_of_an_attempt_replaces_it_or_not(queue):
    attempt_id = await claimed(queue)
    await keep(queue, attempt_id, b"x" * 1000)
    assert not await queue.logs.keep(attempt_id, LogTail(note="gone"), MUCH, replace=False)
    assert (await kept(queue, attempt_id))[1].data == b"x" * 1000
    await keep(queue, attempt_id, b"short")
    assert (await kept(queue, attempt_id))[1].data == b"short"
    assert await log_bytes(queue) == ENTRY_BYTES + len(b"0\nshort")


async def test_without_a_task_nothing_is_kept(queue, redis_client):
    assert not await keep(queue, NO_TASK)
    assert await queue.logs.read(NO_TASK.task_id) is None
    assert not await redis_client.keys(f"*{queue._prefix}*log*")


async def test_of_a_task_the_newest_attempts_are_kept(queue):
    attempt_id = await claimed(queue)
    for number in range(1, 31):
        await keep(queue, AttemptId(attempt_id.task_id, number), b"%d" % number)
    assert list(await kept(queue, attempt_id)) == list(range(11, 31))
    for number in range(31, 41):
        await keep(queue, AttemptId(attempt_id.task_id, number), b"x" * 64 * 1024)
    assert list(await kept(queue, attempt_id)) == [38, 39, 40]
    assert await log_bytes(queue) == 3 * (64 * 1024 + 2 + ENTRY_BYTES)


async def test_of_all_logs_the_oldest_go_first_and_their_tasks_say_so(queue):
    attempts = [await claimed(queue) for _ in range(5)]
    most = 3 * (1000 + 2 + ENTRY_BYTES)
    for attempt_id in attempts:
        await keep(queue, attempt_id, b"x" * 1000, most)
    assert await log_bytes(queue) == most
    found = [await queue.logs.read(attempt_id.task_id) for attempt_id in attempts]
    assert [bool(one.attempts) for one in found] == [False, False, True, True, True]
    assert [one.dropped for one in found] == [True, True, False, False, False]


async def test_a_bound_that_was_lowered_is_reached(queue):
    attempts = [await claimed(queue) for _ in range(5)]
    for attempt_id in attempts:
        await keep(queue, attempt_id)
    await keep(queue, attempts[-1], b"new", 0)
    assert await log_bytes(queue) == 0


@pytest.mark.parametrize("most", [0, 150 * (ENTRY_BYTES + len(b"0\ntext"))])
async def test_retention_deletes_logs_above_a_bound_that_was_lowered(queue, most):
    """A service that starts with a lower bound, or keeps no logs any more, does not wait for the next log."""
    attempts = [await claimed(queue) for _ in range(100)]
    for attempt_id in attempts:
        for number in (1, 2, 3):
            await keep(queue, AttemptId(attempt_id.task_id, number))
    steps = 0
    while (await queue.sweep(Retention(3600, 1000, MUCH, most))).logs_dropped:
        steps += 1
    assert (steps, await log_bytes(queue)) == (1, most)
    found = [await queue.logs.read(attempt_id.task_id) for attempt_id in attempts]
    number = most // (ENTRY_BYTES + len(b"0\ntext")) // 3
    assert [bool(one.attempts) for one in found] == [not one.dropped for one in found]
    assert [one.dropped for one in found] == [True] * (100 - number) + [False] * number


async def test_logs_that_cannot_be_deleted_stop_no_retention(queue, redis_client):
    ended = await claimed(queue)
    await keep(queue, ended)
    task = (await queue.read(ended.task_id))[0]
    await queue.conclude(task, State.CANCELLED, None, b"{}", task.created_ms)
    await queue.release(Slot(ended, "sleep"))
    await keep(queue, await claimed(queue))
    await redis_client.set(f"{queue._prefix}logs", "no set")
    assert (await queue.sweep(Retention(3600, 0, MUCH, MUCH))).forgotten == 1
    assert await queue.read(ended.task_id) is None
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await queue.sweep(Retention(3600, 0, MUCH, 0))


async def test_it_is_forgotten_with_its_task(queue, redis_client):
    attempt_id = await claimed(queue)
    await keep(queue, attempt_id)
    task = (await queue.read(attempt_id.task_id))[0]
    await queue.conclude(task, State.CANCELLED, None, b"{}", task.created_ms)
    await queue.release(Slot(attempt_id, "sleep"))
    assert (await queue.sweep(Retention(3600, 0, MUCH, MUCH))).forgotten == 1
    assert await log_bytes(queue) == 0
    assert await queue.logs.read(attempt_id.task_id) is None
    assert not await redis_client.keys(f"{queue._prefix}log*")
    assert not await keep(queue, attempt_id), "it is too late"


async def test_a_key_that_somebody_spoilt_by_hand_stops_no_retention(queue, redis_client):
    attempt_id = await claimed(queue)
    task = (await queue.read(attempt_id.task_id))[0]
    await queue.conclude(task, State.CANCELLED, None, b"{}", task.created_ms)
    await queue.release(Slot(attempt_id, "sleep"))
    await redis_client.set(f"{queue._prefix}log:{attempt_id.task_id}", "no hash")
    assert (await queue.sweep(Retention(3600, 0, MUCH, MUCH))).forgotten == 1


@pytest.mark.parametrize("spoilt", ["no number", "1.5", "1e400", "nan", "", "99999999999999999999"])
async def test_a_number_that_somebody_spoilt_by_hand_stops_no_retention(queue, redis_client, spoilt):
    attempt_id = await claimed(queue)
    assert await keep(queue, attempt_id)
    task = (await queue.read(attempt_id.task_id))[0]
    await queue.conclude(task, State.CANCELLED, None, b"{}", task.created_ms)
    await queue.release(Slot(attempt_id, "sleep"))
    await redis_client.hset(f"{queue._prefix}log:{attempt_id.task_id}", "bytes", spoilt)
    await redis_client.hset(f"{queue._prefix}task:{attempt_id.task_id}", "bytes", spoilt)
    assert (await queue.sweep(Retention(3600, 0, MUCH, MUCH))).forgotten == 1
    assert not await redis_client.exists(f"{queue._prefix}log:{attempt_id.task_id}")


async def test_only_the_leader_keeps_logs(redis_client, instance):
    old = Queue(redis_client, instance, owner="old")
    assert await old.lead("old", 10)
    attempt_id = await claimed(old)
    await old.resign("old")
    assert await old.lead("new", 10)
    with pytest.raises(NotLeading):
        await keep(old, attempt_id)
    assert not await kept(old, attempt_id), "to read is anybody's"


def runner_of(claim, valkey_url, instance):
    given = {"REDIS_URL": valkey_url, "INSTANCE": instance, "TASK_ID": claim.attempt_id.task_id, "TOKEN": claim.token}
    return Report(
        connect(valkey_url),
        read_attempt({f"TASKPOST_{name}": value for name, value in given.items()} | {"TASKPOST_ATTEMPT": "1"}),
    )


@pytest.mark.parametrize("retry", ["", "own"])
async def test_a_runner_hands_it_over_with_the_outcome_and_only_once(queue, valkey_url, instance, retry):
    await queue.submit(SUBMISSION, LIMITS)
    claim = await queue.claim(100, {"sleep": None}, {"sleep": RetryRule(1, 0, ())})
    await keep(queue, claim.attempt_id, b"what was read before", note="so far")
    report = runner_of(claim, valkey_url, instance)
    began = report.start()
    for _ in range(2):
        entry = log_entry(b"all of it", truncated=True)
        report.finish(failed("task_error", "no", retry), b"{}", began.started_ms, until=0, log=entry)
    task = (await queue.read(claim.attempt_id.task_id))[0]
    assert task.logged == 1
    assert await kept(queue, claim.attempt_id) == {1: LogTail(b"all of it", truncated=True)}
    assert await log_bytes(queue) == ENTRY_BYTES + len(entry)
    await queue.logs.make_room(claim.attempt_id, 0)
    assert await log_bytes(queue) == 0


async def test_a_runner_that_is_not_the_current_one_hands_nothing_over(queue, valkey_url, instance):
    await queue.submit(SUBMISSION, LIMITS)
    claim = await queue.claim(100, {"sleep": None})
    report = runner_of(claim, valkey_url, instance)
    began = report.start()
    task = (await queue.read(claim.attempt_id.task_id))[0]
    await queue.conclude(task, State.CANCELLED, None, b"{}", task.created_ms)
    with pytest.raises(Refused):
        report.finish(Outcome(State.DONE, "1", None), b"{}", began.started_ms, until=0, log=b"0\nx")
    assert await log_bytes(queue) == 0


async def test_earlier_attempt_does_not_replace_the_mark_of_the_current_one(queue):
    attempt_id = await claimed(queue)
    earlier = AttemptId(attempt_id.task_id, 0)
    for kept_id in (attempt_id, earlier):
        await queue.logs.keep(kept_id, LogTail(b"text"), MUCH, replace=True, whole=True)
    assert (await queue.read(attempt_id.task_id))[0].logged == 1
    assert (await kept(queue, earlier)).keys() == {0, 1}


async def test_what_wrote_nothing_is_handed_over_too_and_takes_nothing(queue, valkey_url, instance):
    await queue.submit(SUBMISSION, LIMITS)
    claim = await queue.claim(100, {"sleep": None})
    report = runner_of(claim, valkey_url, instance)
    began = report.start()
    entry = log_entry(b"", truncated=False)
    report.finish(Outcome(State.DONE, "1", None), b"{}", began.started_ms, until=0, log=entry)
    assert (await queue.read(claim.attempt_id.task_id))[0].logged == 1
    assert await log_bytes(queue) == 0


async def test_a_full_redis_keeps_no_logs_and_says_so_quietly(own_valkey):
    async with connect_async(own_valkey.url) as client:
        queue = Queue(client, "default")
        attempt_id = await claimed(queue)
        await client.config_set("maxmemory", "1")
        assert not await keep(queue, attempt_id)
        await client.config_set("maxmemory", "0")
        assert await keep(queue, attempt_id)


async def test_a_log_that_somebody_spoilt_by_hand_is_read_all_the_same(queue, redis_client):
    attempt_id = await claimed(queue)
    await redis_client.hset(f"{queue._prefix}log:{attempt_id.task_id}", "1", b"\xff\xfe")
    assert (await kept(queue, attempt_id))[1].data == b""
