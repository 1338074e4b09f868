"""Whatever fails while attempts are claimed and started: no slot leaks, and no task waits for another's fault."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from api.controller.dispatch import Dispatcher
from api.controller.starts import AT_A_TIME
from api.controller.supervise import cancel, supervise
from api.core.observation import AttemptId
from api.core.probing import STARTS_OF_A_TYPE
from api.core.task import Reason
from api.executors.base import StartError, StartUnknown
from api.queue.errors import QueueUnavailable
from api.queue.shapes import QueueLimits, Submission
from api.web.representation import waiting_reason
from runner.contract import State
from tests.support.definitions import definitions
from tests.support.starts import start_one
from tests.support.wait import until

LIMITS = QueueLimits(100, 10_000)
SUBMISSION = Submission("sleep", "{}", None, 0, 60_000)
BATCH = 8
FAULTS = {
    "redis": lambda: QueueUnavailable("Redis does not answer: late"),
    "mistake": lambda: RuntimeError("a mistake of ours"),
    "leaked": asyncio.CancelledError,
}


@pytest.fixture
def dispatcher(queue, executor, book):
    return Dispatcher(queue, executor, book, concurrency=99, types=definitions("sleep", "fibonacci"), environment={})


async def submit(queue, number, task_type="sleep"):
    submission = replace(SUBMISSION, task_type=task_type)
    return [(await queue.submit(submission, LIMITS)).task.task_id for _ in range(number)]


async def task_of(queue, task_id):
    return (await queue.read(task_id))[0]


def count_calls(monkeypatch, owner, name, before):
    """Call `before(number)` before each call of a method: it may raise, wait, or return what is raised afterwards."""
    call, numbers = getattr(owner, name), iter(range(10_000))

    async def counted(*arguments, **named):
        after = await before(next(numbers))
        result = await call(*arguments, **named)
        if after is not None:
            raise after
        return result

    monkeypatch.setattr(owner, name, counted)


async def slots_and_starts_agree(queue, executor, book):
    """Each slot has an attempt that was started, and the other way round."""
    slots = {slot.attempt_id for slot in await queue.slots()}
    return not book.starting and slots == set(executor.shown) and slots


@pytest.mark.parametrize("kind", [*FAULTS, "reply lost"])
@pytest.mark.parametrize("position", range(BATCH))
async def test_a_claim_that_fails_costs_no_other_attempt_its_start(
    queue, executor, book, dispatcher, settler, background, monkeypatch, position, kind
):
    async def fail(number):
        if number != position:
            return None
        if kind == "reply lost":  # Redis has done it, and nobody here knows
            return QueueUnavailable("Redis does not answer: late")
        fault = FAULTS[kind]()
        raise fault

    count_calls(monkeypatch, queue, "claim", fail)
    monkeypatch.setattr("api.controller.supervise.FIRST_PAUSE_SECONDS", 0.001)
    task_ids = await submit(queue, BATCH)
    wake = asyncio.Event()
    background(supervise("dispatch", lambda: dispatcher.dispatch(wake)))
    await until(lambda: len(executor.started) >= BATCH - (kind == "reply lost"))
    await settler.settle_all()
    wake.set()
    await until(lambda: len(executor.started) == BATCH)
    assert {spec.attempt_id.task_id for spec in executor.started} == set(task_ids)
    assert await until(lambda: slots_and_starts_agree(queue, executor, book))
    assert len(await queue.slots()) == BATCH


@pytest.mark.parametrize("where", ["claim", "start"])
@pytest.mark.parametrize("position", range(BATCH))
async def test_a_cancellation_leaves_each_attempt_started_or_put_back(
    queue, executor, book, dispatcher, settler, background, monkeypatch, position, where
):
    there = asyncio.Event()

    async def hang(number):
        if number == position:
            there.set()
            await asyncio.Event().wait()

    count_calls(monkeypatch, queue if where == "claim" else executor, where, hang)
    await submit(queue, BATCH)
    dispatching = background(dispatcher.dispatch(asyncio.Event()))
    await there.wait()
    await cancel(dispatching)
    assert not book.starting
    await settler.settle_all()
    slots = {slot.attempt_id for slot in await queue.slots()}
    assert slots == set(executor.shown)
    tasks = [task async for task in all_tasks(queue)]
    assert {task.state for task in tasks} <= {State.STARTING, State.QUEUED}
    assert sum(task.state is State.STARTING for task in tasks) == len(slots)


async def all_tasks(queue):
    page = await queue.list(cursor=None, limit=100, states=tuple(State), task_type=None)
    for summary in page.tasks:
        yield await task_of(queue, summary.task_id)


@pytest.mark.parametrize("position", range(BATCH))
@pytest.mark.parametrize("fault", [TypeError("Object of type date is not JSON serializable"), KeyError("\udcff")])
async def test_a_start_that_nobody_foresaw_fails_its_task_with_the_reason_and_no_other(
    queue, executor, book, dispatcher, background, position, fault
):
    task_ids = await submit(queue, BATCH)
    poisoned = task_ids[position]
    executor.faults["start", poisoned] = lambda: fault
    dispatching = background(dispatcher.dispatch(asyncio.Event()))
    await until(lambda: len(executor.started) == BATCH - 1 and not book.starting)
    task = await task_of(queue, poisoned)
    assert (task.state, task.error.code) == (State.FAILED, "cannot_start")
    assert type(fault).__name__ in task.error.message
    assert {spec.attempt_id.task_id for spec in executor.started} == set(task_ids) - {poisoned}
    assert await slots_and_starts_agree(queue, executor, book)
    assert not dispatching.done()


async def test_a_queue_that_fails_as_a_whole_is_logged_in_lines_with_one_traceback(
    queue, executor, book, dispatcher, background, caplog
):
    task_ids = await submit(queue, 20)
    executor.faults["start", ""] = lambda: TypeError("Object of type date is not JSON serializable")
    background(dispatcher.dispatch(asyncio.Event()))
    for task_id in task_ids:
        await until(lambda task_id=task_id: has_failed(queue, task_id))
    told = [record for record in caplog.records if record.getMessage() == "start_failed"]
    assert len(told) == 20
    assert [bool(record.exc_info) for record in told].count(True) == 1


async def has_failed(queue, task_id):
    return (await task_of(queue, task_id)).state is State.FAILED


async def test_a_cancellation_that_a_library_leaks_into_a_start_is_no_end_of_it(
    queue, executor, book, dispatcher, monkeypatch
):
    monkeypatch.setattr("api.controller.dispatch.FIRST_PAUSE_SECONDS", 0.001)
    (task_id,) = await submit(queue, 1)
    leaks = iter([asyncio.CancelledError(), None])
    executor.faults["start", task_id] = lambda: next(leaks)
    assert await start_one(dispatcher)
    assert [spec.attempt_id.attempt for spec in executor.started] == [1]


async def test_a_start_that_is_never_over_is_given_up(queue, executor, book, dispatcher, monkeypatch):
    monkeypatch.setattr("api.controller.dispatch.LONGEST_START_SECONDS", 0.01)
    monkeypatch.setattr("api.controller.dispatch.START_PATIENCE_SECONDS", 0)
    (task_id,) = await submit(queue, 1)
    executor.held["start", task_id] = asyncio.Event()
    assert await start_one(dispatcher)
    task = await task_of(queue, task_id)
    assert (task.state, task.attempt) == (State.QUEUED, 1)
    assert "not over after" in task.waiting.message


@pytest.mark.parametrize("name", ["requeue", "read"])
async def test_a_start_whose_end_cannot_be_recorded_is_left_to_the_sweep(
    queue, executor, book, dispatcher, settler, monkeypatch, name
):
    async def unavailable(*_, **__):
        raise QueueUnavailable("Redis does not answer: late")

    (task_id,) = await submit(queue, 1)
    executor.faults["start", task_id] = lambda: StartError("out of processes") if name == "requeue" else TypeError("x")
    with monkeypatch.context() as patched:
        patched.setattr(queue, name, unavailable)
        assert await start_one(dispatcher)
    assert not book.starting
    await settler.settle_all()
    assert await queue.slots() == []
    assert (await task_of(queue, task_id)).state is State.QUEUED


async def test_slow_starts_of_one_type_delay_no_other_type(queue, executor, book, dispatcher, background):
    slow = await submit(queue, 2 * STARTS_OF_A_TYPE, "fibonacci")
    release = asyncio.Event()
    for task_id in slow:
        executor.held["start", task_id] = release
    background(dispatcher.dispatch(asyncio.Event()))
    await until(lambda: len(book.starting) == STARTS_OF_A_TYPE)
    (quick,) = await submit(queue, 1)
    dispatcher._wake.set()
    await until(lambda: [spec.attempt_id.task_id for spec in executor.started] == [quick])
    assert len(book.starting) == STARTS_OF_A_TYPE < AT_A_TIME
    release.set()
    await until(lambda: len(executor.started) == len(slow) + 1), "the others follow without a wake-up"


async def test_while_the_starts_of_a_type_fail_one_at_a_time_is_tried_and_the_others_say_why(
    queue, executor, book, dispatcher, background
):
    failing = await submit(queue, 3, "fibonacci")
    for task_id in failing:
        executor.faults["start", task_id] = lambda: StartError("failed calling webhook")
    background(dispatcher.dispatch(asyncio.Event()))

    # All three may have been under way together; what waits now was put back, or says that its type is paused.
    reason = await until(lambda: queue_reason(queue, failing))
    assert "failed calling webhook" in reason.message
    (quick,) = await submit(queue, 1)
    dispatcher._wake.set()
    await until(lambda: [spec.attempt_id.task_id for spec in executor.started] == [quick])
    (late,) = await submit(queue, 1, "fibonacci")
    task, use = await queue.read(late)
    told = waiting_reason(task, use, 99, None)
    assert told.code == "type_paused"
    assert "failed calling webhook" in told.message
    executor.faults.clear()
    await until(lambda: len(executor.started) == 5)
    await until(lambda: is_not_held(queue, late))
    assert {(await task_of(queue, task_id)).attempt for task_id in (*failing, late)} == {1}


async def queue_reason(queue, task_ids):
    for task_id in task_ids:
        _, use = await queue.read(task_id)
        if use.held is not None:
            return use.held
    return None


async def is_not_held(queue, task_id):
    return (await queue.read(task_id))[1].held is None


async def test_while_a_start_is_not_answered_no_other_of_its_type_begins(
    queue, executor, book, dispatcher, background, monkeypatch
):
    monkeypatch.setattr("api.controller.dispatch.FIRST_PAUSE_SECONDS", 0.2)
    (first,) = await submit(queue, 1)
    answers = iter([StartUnknown("no answer"), None])
    executor.faults["start", first] = lambda: next(answers)
    wake = asyncio.Event()
    background(dispatcher.dispatch(wake))
    await until(lambda: ("start", first) in executor.calls)
    (second,) = await submit(queue, 1)
    wake.set()
    task, use = await until(lambda: held_of(queue, second))
    assert "no answer" in waiting_reason(task, use, 99, None).message
    await until(lambda: len(executor.started) == 2)
    assert [spec.attempt_id.task_id for spec in executor.started] == [first, second]


async def held_of(queue, task_id):
    task, use = await queue.read(task_id)
    return (task, use) if use.held is not None else None


def hold_claims(queue, monkeypatch):
    """Hold the answers to claims. Returns events: one is set when Redis has claimed, the other releases the answer."""
    made, answer = asyncio.Event(), asyncio.Event()
    claim = queue.claim

    async def slow(*arguments, **more):
        claimed = await claim(*arguments, **more)
        made.set()
        await answer.wait()
        return claimed

    monkeypatch.setattr(queue, "claim", slow)
    return made, answer


async def test_a_claim_under_way_is_never_taken_for_a_lost_one(
    queue, executor, book, dispatcher, settler, background, monkeypatch
):
    """The slot is in Redis before the claim's answer is here: who reads the slots then waits for it."""
    arrived, answer = hold_claims(queue, monkeypatch)
    (task_id,) = await submit(queue, 1)
    starting = background(start_one(dispatcher))
    await arrived.wait()
    assert len(await queue.slots()) == 1
    sweeping = background(settler.settle_all())
    await asyncio.sleep(0)
    answer.set()
    await asyncio.gather(starting, sweeping)
    task = await task_of(queue, task_id)
    assert (task.state, task.attempt) == (State.STARTING, 1)


@pytest.mark.parametrize("call", ["refresh", "list"])
async def test_a_slow_cluster_holds_up_no_claim(queue, executor, dispatcher, settler, background, call):
    executor.held[call, ""] = asyncio.Event()
    sweeping = background(settler.settle_all())
    await until(lambda: (call, "") in executor.calls)
    (task_id,) = await submit(queue, 1)
    async with asyncio.timeout(5):
        assert await start_one(dispatcher)
    executor.held[call, ""].set()
    await sweeping
    assert (await task_of(queue, task_id)).state is State.STARTING, "what was started meanwhile is not called gone"
    assert len(await queue.slots()) == 1


async def test_a_dispatcher_that_is_closed_waits_for_a_claim_under_way(
    queue, executor, dispatcher, background, monkeypatch
):
    arrived, answer = hold_claims(queue, monkeypatch)
    await submit(queue, 1)
    background(start_one(dispatcher))
    await arrived.wait()
    closing = background(dispatcher.close())
    await asyncio.sleep(0)
    answer.set()
    await asyncio.wait_for(closing, 10)
    assert len(executor.started) == 1
    assert await dispatcher.start_next() is None


@pytest.mark.parametrize("delayed", [False, True])
async def test_a_record_that_somebody_spoilt_stops_no_other_start(queue, redis_client, delayed):
    spoilt, whole = await submit(queue, 2)
    if delayed:
        assert (await queue.claim(1, {"sleep": None})).attempt_id == AttemptId(spoilt, 1)
        reason = Reason("not_begun", "it was lost before it began")
        assert await queue.requeue(AttemptId(spoilt, 1), reason, counts_as_loss=False, pause_seconds=0)
    await redis_client.delete(f"{queue._prefix}task:{spoilt}")
    await redis_client.lpush(f"{queue._prefix}task:{spoilt}", "x")
    assert (await queue.claim(1, {"sleep": None})).attempt_id == AttemptId(whole, 1)
