"""One bad item at any place: the others are settled, ended, forgotten, withdrawn, and the loop goes on."""

from __future__ import annotations

import asyncio

import pytest

from api.controller.controller import Controller, ControllerConfig
from api.controller.isolate import Isolation, for_each
from api.controller.lead import Leadership
from api.controller.supervise import cancel, do_all, supervise
from api.controller.withdraw import Withdrawer
from api.core.decisions import Limits
from api.core.observation import AttemptId, Observation, Phase, StopReason
from api.core.task import Reason
from api.executors.base import ExecutorUnavailable
from api.queue.conclude import conclude
from api.queue.errors import NotLeading, QueueUnavailable
from api.queue.queue import Queue
from api.queue.shapes import QueueLimits, Retention, Submission
from runner.contract import State
from tests.support.definitions import definitions
from tests.support.wait import until

LIMITS = QueueLimits(1000, 100_000)
SUBMISSION = Submission("sleep", "{}", None, 0, 60_000)
NUMBER = 8
FAULTS = {
    "redis": lambda: QueueUnavailable("Redis does not answer: late"),
    "cluster": lambda: ExecutorUnavailable("no answer"),
    "mistake": lambda: RuntimeError("a mistake of ours"),
    "leaked": asyncio.CancelledError,
}


async def claimed(queue, number):
    for _ in range(number):
        await queue.submit(SUBMISSION, LIMITS)
    return [(await queue.claim(99, {"sleep": None})).attempt_id for _ in range(number)]


def fail_for(monkeypatch, owner, name, task_id, fault):
    call = getattr(owner, name)

    async def failing(about, *arguments, **named):
        if task_id in (about, getattr(about, "task_id", None)):
            raise fault()
        return await call(about, *arguments, **named)

    monkeypatch.setattr(owner, name, failing)


async def state_of(queue, attempt_id):
    return (await queue.read(attempt_id.task_id))[0].state


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("position", range(NUMBER))
async def test_an_attempt_that_cannot_be_settled_delays_no_other(queue, executor, settler, monkeypatch, position, kind):
    attempt_ids = await claimed(queue, NUMBER)
    bad = attempt_ids[position]
    for attempt_id in attempt_ids:
        executor.shown[attempt_id] = Observation(attempt_id, Phase.ENDED, exit_code=1)
    with monkeypatch.context() as patched:
        fail_for(patched, queue, "look", bad.task_id, FAULTS[kind])
        await settler.settle_all()
        assert [await state_of(queue, attempt_id) for attempt_id in attempt_ids if attempt_id != bad] == (
            [State.FAILED] * (NUMBER - 1)
        )
        assert [slot.attempt_id for slot in await queue.slots()] == [bad]
    monkeypatch.setattr("api.controller.isolate.Isolation.is_paused", lambda *_: False)
    await settler.settle_all()
    assert await state_of(queue, bad) is State.FAILED
    assert await queue.slots() == []


@pytest.mark.parametrize("call", ["stop", "forget"])
@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("position", range(NUMBER))
async def test_an_attempt_without_a_slot_that_cannot_be_ended_delays_no_other(executor, settler, position, kind, call):
    attempt_ids = [AttemptId(f"task{number}", 1) for number in range(NUMBER)]
    phase = Phase.ALIVE if call == "stop" else Phase.GONE
    executor.shown = {attempt_id: Observation(attempt_id, phase) for attempt_id in attempt_ids}
    bad = attempt_ids[position]
    executor.faults[call, bad.task_id] = FAULTS[kind]
    await settler.settle_all()
    if call == "stop":
        others = {(attempt_id, StopReason.OBSOLETE) for attempt_id in attempt_ids if attempt_id != bad}
        assert set(executor.stopped) == others
    else:
        assert set(executor.shown) == {bad}


async def test_an_item_that_fails_again_and_again_is_looked_at_less_and_less_often(queue, executor, settler, caplog):
    (attempt_id,) = await claimed(queue, 1)
    executor.shown[attempt_id] = Observation(attempt_id, Phase.ENDED, exit_code=1)
    await queue._redis.hset(f"{queue._prefix}task:{attempt_id.task_id}", "state", "unheard of")
    for _ in range(20):
        await settler.settle_all()
    assert caplog.messages.count("item_failed") == 1
    (record,) = [one for one in caplog.records if one.getMessage() == "item_failed"]
    assert record.again_in_seconds > 0


async def test_an_item_s_pause_doubles_to_a_bound(monkeypatch, caplog):
    isolation = Isolation("loop")
    monkeypatch.setattr(isolation, "is_paused", lambda _: False)

    async def fail():
        raise RuntimeError("a mistake of ours")

    for _ in range(12):
        assert await isolation.work("item", fail, "otherwise") == "otherwise"
    pauses = [record.again_in_seconds for record in caplog.records]
    assert pauses[:4] == [2, 4, 8, 16]
    assert pauses[-1] == 300


async def test_no_more_failing_items_are_remembered_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr("api.controller.isolate.MOST_FAILING", 3)
    isolation = Isolation("loop")

    async def fail():
        raise RuntimeError("a mistake of ours")

    for number in range(5):
        await isolation.work(number, fail, None)
    assert [isolation.is_paused(number) for number in range(5)] == [False, False, True, True, True]


async def test_redis_that_is_away_for_all_ends_the_round(queue, executor, settler, monkeypatch):
    calls = []

    async def unavailable(task_id):
        calls.append(task_id)
        await asyncio.sleep(0.01)
        raise QueueUnavailable("Redis does not answer: gone")

    await claimed(queue, 40)
    monkeypatch.setattr(queue, "look", unavailable)
    with pytest.raises(QueueUnavailable):
        await settler.settle_all()
    assert len(calls) < 20


async def test_another_leader_ends_the_round_at_once(queue, settler, monkeypatch):
    async def refused(_):
        raise NotLeading("another")

    await claimed(queue, 1)
    monkeypatch.setattr(queue, "look", refused)
    with pytest.raises(NotLeading):
        await settler.settle_all()


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("position", range(NUMBER))
async def test_an_end_that_cannot_be_settled_ends_no_watch(
    queue, executor, settler, background, monkeypatch, position, kind
):
    attempt_ids = await claimed(queue, NUMBER)
    bad = attempt_ids[position]
    fail_for(monkeypatch, queue, "look", bad.task_id, FAULTS[kind])
    watching = background(settler.watch())
    for attempt_id in attempt_ids:
        executor.ends.put_nowait(Observation(attempt_id, Phase.ENDED, exit_code=1))
    await until(lambda: only_slot_is(queue, bad))
    assert not watching.done()


async def only_slot_is(queue, attempt_id):
    return [slot.attempt_id for slot in await queue.slots()] == [attempt_id]


async def test_a_cluster_that_cannot_be_asked_leaves_what_is_seen_to_be_settled(queue, executor, settler):
    seen, unseen = await claimed(queue, 2)
    executor.shown[seen] = Observation(seen, Phase.ENDED, exit_code=1)
    executor.faults["refresh", ""] = lambda: ExecutorUnavailable("no answer")
    await settler.settle_all()
    assert await state_of(queue, seen) is State.FAILED
    assert await state_of(queue, unseen) is State.STARTING


async def test_a_task_of_a_removed_type_that_cannot_be_ended_delays_no_other(queue, monkeypatch):
    types = dict(definitions("sleep")())
    withdrawer = Withdrawer(queue, lambda: types)
    task_ids = [(await queue.submit(SUBMISSION, LIMITS)).task.task_id for _ in range(205)]
    await withdrawer.look(0)
    types.clear()
    bad = set(task_ids[100:])  # all of the first page, and more
    read = queue.read

    async def failing(task_id):
        if task_id in bad:
            raise RuntimeError("a mistake of ours")
        return await read(task_id)

    monkeypatch.setattr(queue, "read", failing)
    await withdrawer.look(1)
    monkeypatch.undo()
    states = {task_id: (await queue.read(task_id))[0].state for task_id in task_ids}
    assert {states[task_id] for task_id in task_ids[:100]} == {State.FAILED}
    assert {states[task_id] for task_id in bad} == {State.QUEUED}


async def test_for_each_ends_its_workers_with_the_first_exception():
    begun, over = [], []

    async def work(item):
        begun.append(item)
        try:
            if item == 2:
                raise RuntimeError("a mistake of ours")
            await asyncio.Event().wait()
        finally:
            over.append(item)

    with pytest.raises(RuntimeError):
        await for_each(range(10), work, at_a_time=3)
    assert begun == [0, 1, 2]
    assert sorted(over) == [0, 1, 2]


async def test_a_cancellation_that_a_library_leaks_ends_no_loop(caplog, monkeypatch):
    monkeypatch.setattr("api.controller.supervise.FIRST_PAUSE_SECONDS", 0.001)
    turns = asyncio.Queue()

    async def duty():
        turns.put_nowait(None)
        raise asyncio.CancelledError

    supervised = asyncio.create_task(supervise("duty", duty))
    for _ in range(3):
        await asyncio.wait_for(turns.get(), 10)
    await cancel(supervised)
    assert supervised.cancelled()
    assert "duty_failed" in caplog.messages


async def test_a_loop_that_ends_at_once_is_begun_again_with_pauses():
    loop, turns = asyncio.get_running_loop(), []

    async def duty():
        turns.append(loop.time())

    supervised = asyncio.create_task(supervise("duty", duty))
    await until(lambda: len(turns) == 4)
    await cancel(supervised)
    assert turns[3] - turns[0] >= 0.2 + 0.4 + 0.8


@pytest.mark.parametrize("how", ["ends", "fails", "leaks"])
async def test_a_leader_whose_loops_have_ended_calls_redis_no_more_often_than_before(
    queue, background, monkeypatch, caplog, how
):
    monkeypatch.setattr("api.controller.lead.RENEW_SECONDS", 0.1)
    calls, lead = [], queue.lead

    async def counted(*arguments):
        calls.append(None)
        return await lead(*arguments)

    begun = []

    async def duties():
        begun.append(None)
        if how == "fails":
            raise RuntimeError("a mistake of ours")
        if how == "leaks":
            raise asyncio.CancelledError

    monkeypatch.setattr(queue, "lead", counted)
    background(Leadership(queue, "first").lead(duties))
    async with asyncio.timeout(20):
        before = asyncio.get_running_loop().time()
        await until(lambda: len(begun) >= 3)
    seconds = asyncio.get_running_loop().time() - before
    assert len(calls) <= seconds / 0.1 + 2
    assert "leader_ended" in caplog.messages


async def test_a_supervised_loop_that_ends_all_the_same_ends_the_others_and_says_so(monkeypatch):
    ended = []

    async def broken(name, duty, outage):
        if name == "broken":
            return
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    monkeypatch.setattr("api.controller.supervise.supervise", broken)
    with pytest.raises(RuntimeError, match="broken"):
        await do_all({"broken": None, "fine": None})
    assert ended == ["fine"]


class NoSender:
    async def post(self, *_, **__):
        raise AssertionError("nothing is to be delivered")


async def silence():
    yield None
    await asyncio.Event().wait()


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("position", range(3))
async def test_an_attempt_that_cannot_be_ended_at_the_shutdown_delays_no_other(
    redis_client, instance, executor, monkeypatch, position, kind
):
    monkeypatch.setattr("api.controller.controller.SHUTDOWN_MARGIN_SECONDS", 0.1)
    queue = Queue(redis_client, instance, owner="one")
    attempt_ids = [AttemptId(f"task{number}", 1) for number in range(3)]
    executor.faults["stop", attempt_ids[position].task_id] = FAULTS[kind]
    stop = asyncio.Event()
    config = ControllerConfig(
        concurrency=3,
        types=definitions("sleep"),
        environment={},
        limits=Limits(3, 600, 3600),
        suspended_concurrency=9,
        retention=Retention(60, 10, 1000, 1000),
        grace_seconds=0,
        owner="one",
        retry_seconds=(1,),
    )
    controller = Controller(queue, executor, NoSender(), silence, config)
    monkeypatch.setattr(controller._settler, "settle_all", lambda: asyncio.sleep(0, 5.0))
    running = asyncio.create_task(controller.run(stop))
    await until(lambda: ("open", "") in executor.calls)
    executor.shown = {attempt_id: Observation(attempt_id, Phase.ALIVE) for attempt_id in attempt_ids}
    stop.set()
    await asyncio.wait_for(running, 20)
    stopped = {attempt_id for attempt_id, reason in executor.stopped if reason is StopReason.SHUTDOWN}
    assert stopped == set(attempt_ids) - {attempt_ids[position]}
    assert ("close", "") in executor.calls
    assert await queue.lead("another", 10), "the lease was given up"


async def test_what_was_cancelled_while_it_failed_stays_cancelled(queue, executor, settler, monkeypatch):
    """A bad item is no reason to forget what a client asked for."""
    (attempt_id,) = await claimed(queue, 1)
    executor.shown[attempt_id] = Observation(attempt_id, Phase.ALIVE)
    task = (await queue.read(attempt_id.task_id))[0]
    assert await conclude(queue, task, State.CANCELLED, Reason("cancelled", "by request"))
    faults = iter([ExecutorUnavailable("no answer"), None])
    executor.faults["stop", attempt_id.task_id] = lambda: next(faults)
    await settler.settle_all()
    monkeypatch.setattr("api.controller.isolate.Isolation.is_paused", lambda *_: False)
    await settler.settle_all()
    assert executor.stopped == [(attempt_id, StopReason.CANCELLED)]


async def test_what_the_cluster_does_not_answer_is_asked_again_soon_and_told_once(caplog, monkeypatch):
    isolation = Isolation("loop")
    monkeypatch.setattr(isolation, "is_paused", lambda _: False)

    async def silent():
        raise ExecutorUnavailable("no answer")

    for _ in range(50):
        await isolation.work("item", silent, None)
    assert caplog.messages == ["item_waits"]
    assert isolation._failing["item"][0] == 10
