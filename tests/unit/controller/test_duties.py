"""The duties one by one, with a real queue and an executor that can be told to fail."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from dataclasses import replace

import pytest
from redis.exceptions import ResponseError

from api.controller.deliver import Deliverer
from api.controller.dispatch import Dispatcher
from api.controller.lead import Leadership
from api.controller.listen import Wakeups, listen
from api.controller.supervise import cancel, supervise, wait_at_most
from api.controller.sweep import sweep
from api.controller.withdraw import STEP, UNKNOWN_SECONDS, Withdrawer
from api.core import ends
from api.core.observation import AttemptId, Observation, Phase, Program, StopReason
from api.core.task import Reason
from api.core.task_types import NO_RETRIES, RetryRule, TaskTypes
from api.executors.base import StartError
from api.queue.conclude import conclude
from api.queue.errors import NotLeading, QueueUnavailable
from api.queue.shapes import Claim, QueueLimits, Retention, Submission
from api.queue.wakeups import wakeups
from runner.attempt import read_attempt
from runner.connect import connect
from runner.contract import EXIT_UNREACHABLE, DeliveryStatus, State
from runner.delivery.post import Try
from runner.report import Report, Staged
from tests.support.definitions import definitions
from tests.support.starts import start_one
from tests.support.wait import until

REASON = Reason("no_luck", "it had no luck")
LIMITS = QueueLimits(100, 10_000)
SUBMISSION = Submission("sleep", "{}", "http://127.0.0.1/", 0, 60_000)


class ScriptedExecutor:
    """Starts and shows what it is told to: the faults of a real one cannot be made to order."""

    ends_with_service = True

    def __init__(self):
        self.faults = []
        self.started = asyncio.Queue()
        self.shown = {}
        self.ends = asyncio.Queue()
        self.stopped = []
        self.refreshed = 0
        self.hold = asyncio.Event()
        self.hold.set()

    async def start(self, spec):
        if self.faults:
            raise self.faults.pop(0)
        await self.hold.wait()
        self.shown[spec.attempt_id] = Observation(spec.attempt_id, Phase.ALIVE)
        self.started.put_nowait(spec)

    async def stop(self, attempt_id, reason):
        self.stopped.append((attempt_id, reason))

    async def forget(self, attempt_id):
        self.shown.pop(attempt_id, None)

    async def refresh(self):
        self.refreshed += 1

    async def list(self):
        return list(self.shown.values())

    async def watch(self):
        while True:
            yield await self.ends.get()


@pytest.fixture
def executor():
    return ScriptedExecutor()


@pytest.fixture
def dispatcher(queue, executor, book):
    return Dispatcher(
        queue, executor, book, concurrency=2, types=definitions("sleep"), environment={"TASKPOST_INSTANCE": "one"}
    )


async def state_of(queue, task_id):
    found = await queue.read(task_id)
    return found[0]


async def test_an_attempt_that_cannot_be_started_is_put_back_and_its_number_is_not_used_up(
    queue, executor, dispatcher, background
):
    executor.faults = [StartError("out of processes")]
    task = (await queue.submit(SUBMISSION, LIMITS)).task
    wake = asyncio.Event()
    background(dispatcher.dispatch(wake))
    spec = await asyncio.wait_for(executor.started.get(), 10)
    assert spec.attempt_id == AttemptId(task.task_id, 1)
    assert spec.environment["TASKPOST_ATTEMPT"] == "1"
    assert spec.environment["TASKPOST_INSTANCE"] == "one"
    now = await state_of(queue, task.task_id)
    assert (now.state, now.losses) == (State.STARTING, 0)


async def test_attempts_that_are_lost_before_they_begin_have_pauses_and_a_bound(
    queue, executor, dispatcher, settler, background, monkeypatch
):
    monkeypatch.setattr(ends, "FIRST_UNBEGUN_PAUSE_SECONDS", 0.2)
    monkeypatch.setattr(ends, "MAX_UNBEGUN", 4)
    other = (await queue.submit(SUBMISSION, LIMITS)).task
    task = (await queue.submit(SUBMISSION, LIMITS)).task
    wake = asyncio.Event()
    background(dispatcher.dispatch(wake))
    background(waking(wake))

    async def lost(attempt):
        """The attempt's runner ends without having reached Redis; that of the other task goes on."""
        while (spec := await asyncio.wait_for(executor.started.get(), 10)).attempt_id.task_id != task.task_id:
            assert spec.attempt_id == AttemptId(other.task_id, 1)
        assert spec.attempt_id.attempt == attempt
        executor.shown[spec.attempt_id] = Observation(spec.attempt_id, Phase.ENDED, exit_code=EXIT_UNREACHABLE)
        at = asyncio.get_running_loop().time()

        async def settled():
            await settler.settle_all()
            return (await state_of(queue, task.task_id)).state is not State.STARTING

        await until(settled)
        return at, await state_of(queue, task.task_id)

    times = []
    for attempt in (1, 2, 3, 4):
        at, now = await lost(attempt)
        times.append(at)
        if attempt < 4:
            assert (now.state, now.unbegun, now.losses) == (State.QUEUED, attempt, 0)
            assert f"{attempt} of at most 4 in a row" in now.waiting.message
            assert [past.attempt for past in now.past] == list(range(1, attempt + 1))
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(pause >= least for pause, least in zip(pauses, (0.2, 0.4, 0.8), strict=True))
    assert (now.state, now.error.code) == (State.FAILED, "lost")
    assert "4 attempts in a row were lost before they began" in now.error.message


async def waking(wake):
    """A dispatcher looks for pauses that are over when it is woken, and every few seconds."""
    while True:
        wake.set()
        await asyncio.sleep(0.02)


async def test_an_attempt_that_begins_ends_the_row_of_those_that_did_not(queue):
    task = (await queue.submit(SUBMISSION, LIMITS)).task
    for number in (1, 2):
        claim = await eventually_claimed(queue)
        assert claim.attempt_id.attempt == number
        await queue.requeue(claim.attempt_id, REASON, counts_as_loss=False, pause_seconds=0.01)
        assert (await state_of(queue, task.task_id)).unbegun == number
    claim = await eventually_claimed(queue)
    assert await queue.begin(claim.attempt_id)
    now = await state_of(queue, task.task_id)
    assert (now.unbegun, [past.attempt for past in now.past]) == (0, [1, 2])


async def eventually_claimed(queue):
    claims = []

    async def claimed():
        claims.append(await queue.claim(2, {"sleep": None}))
        return claims[-1]

    await until(claimed)
    return claims[-1]


async def test_while_it_waits_for_another_start_the_task_says_why(queue, executor, dispatcher):
    executor.faults = [StartError("out of processes")]
    task = (await queue.submit(SUBMISSION, LIMITS)).task
    await start_one(dispatcher)
    now = await state_of(queue, task.task_id)
    assert (now.state, now.attempt) == (State.QUEUED, 0)
    assert now.waiting.code == "cannot_start"
    assert "out of processes" in now.waiting.message


async def test_a_closed_dispatcher_starts_nothing(queue, executor, dispatcher):
    await queue.submit(SUBMISSION, LIMITS)
    await dispatcher.close()
    assert not await start_one(dispatcher)
    assert executor.started.empty()


async def test_an_end_that_is_watched_is_settled_at_once(queue, executor, dispatcher, settler, background):
    task = (await queue.submit(SUBMISSION, LIMITS)).task
    await start_one(dispatcher)
    background(settler.watch())
    attempt_id = AttemptId(task.task_id, 1)
    executor.ends.put_nowait(Observation(AttemptId("unknown", 1), Phase.ENDED, exit_code=0))
    executor.ends.put_nowait(Observation(attempt_id, Phase.ENDED, exit_code=1))
    await asyncio.wait_for(settler.settled.wait(), 10)
    now = await state_of(queue, task.task_id)
    assert (now.state, now.error.code) == (State.FAILED, "crashed")
    assert executor.shown == {}
    assert await queue.slots() == []


async def test_a_program_is_settled_as_it_begins_and_as_it_ends_each_once(
    queue, executor, dispatcher, settler, background, valkey_url, instance, caplog
):
    caplog.set_level(logging.INFO)
    task = (await queue.submit(SUBMISSION, LIMITS)).task
    await start_one(dispatcher)
    token = (await executor.started.get()).environment["TASKPOST_TOKEN"]
    client = connect(valkey_url)
    runner = Report(client, attempt_of(task.task_id, token, valkey_url, instance))
    assert await asyncio.to_thread(runner.prepare) == b"{}"
    background(settler.watch())
    runs = Observation(AttemptId(task.task_id, 1), Phase.ALIVE, program=Program.RUNNING)
    executor.ends.put_nowait(runs)
    await until(lambda: is_in(queue, task.task_id, State.RUNNING))
    handing_over = replace(runs, program=Program.ENDED, exit_code=0)
    executor.shown[runs.attempt_id] = handing_over
    executor.ends.put_nowait(handing_over)
    await asyncio.to_thread(runner.stage, Staged('{"a":1}'), until=0)
    executor.ends.put_nowait(handing_over)
    await until(lambda: is_in(queue, task.task_id, State.DONE))
    assert await queue.slots() == [], "its place is free before its pod is gone"
    executor.ends.put_nowait(replace(handing_over, phase=Phase.ENDED))
    await until(lambda: not executor.shown)
    assert json.loads((await queue.read_body(task.task_id)).body)["result"] == {"a": 1}
    assert (await state_of(queue, task.task_id)).delivery.status is DeliveryStatus.PENDING
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith(("attempt_", "task_"))]
    assert told == ["attempt_started", "attempt_begun", "task_done"]
    client.close()


def attempt_of(task_id, token, redis_url, instance):
    given = {"REDIS_URL": redis_url, "INSTANCE": instance, "TASK_ID": task_id, "ATTEMPT": "1", "TOKEN": token}
    return read_attempt({f"TASKPOST_{name}": value for name, value in given.items()})


async def is_in(queue, task_id, state):
    return (await state_of(queue, task_id)).state is state


async def test_what_has_handed_its_result_over_may_live_on_for_a_moment(queue, executor, dispatcher, settler):
    task = (await queue.submit(SUBMISSION, LIMITS)).task
    await start_one(dispatcher)
    attempt_id = AttemptId(task.task_id, 1)
    executor.shown[attempt_id] = Observation(attempt_id, Phase.ALIVE, program=Program.ENDED, exit_code=3)
    await settler.settle_all()
    assert (await state_of(queue, task.task_id)).state is State.FAILED
    assert await queue.slots() == []
    await settler.settle_all()
    assert executor.stopped == []
    executor.shown[attempt_id] = Observation(attempt_id, Phase.ENDED, program=Program.ENDED, exit_code=3)
    await settler.settle_all()
    assert executor.shown == {}


async def test_a_slot_of_which_nothing_is_seen_is_settled_unless_it_starts_right_now(queue, book, settler):
    task = (await queue.submit(SUBMISSION, LIMITS)).task
    claim = await book.claim(lambda: queue.claim(2, {"sleep": None}))
    await settler.settle_all()
    assert (await state_of(queue, task.task_id)).state is State.STARTING
    book.over(claim.attempt_id)
    await settler.settle_all()
    now = await state_of(queue, task.task_id)
    assert (now.state, now.losses) == (State.QUEUED, 0)


async def test_all_attempts_are_asked_for_now_and_then_and_before_one_is_called_gone(
    queue, executor, dispatcher, settler
):
    await queue.submit(SUBMISSION, LIMITS)
    await start_one(dispatcher)
    await settler.settle_all()
    assert executor.refreshed == 1, "another may have led until now"
    await settler.settle_all()
    assert executor.refreshed == 1
    executor.shown.clear()
    await settler.settle_all()
    assert executor.refreshed == 2
    settler._refresh_at = 0
    await settler.settle_all()
    assert executor.refreshed == 3


async def test_what_holds_no_slot_is_ended_or_forgotten(executor, book, settler):
    alive, over, beginning = AttemptId("a", 1), AttemptId("b", 1), AttemptId("c", 1)
    executor.shown = {
        alive: Observation(alive, Phase.ALIVE),
        over: Observation(over, Phase.GONE),
        beginning: Observation(beginning, Phase.ALIVE),
    }
    await book.claim(lambda: as_awaited(Claim(beginning, "sleep", "token", 1)))
    await settler.settle_all()
    assert executor.stopped == [(alive, StopReason.OBSOLETE)]
    assert set(executor.shown) == {alive, beginning}


async def test_a_cancelled_task_s_attempt_is_stopped_and_nothing_is_asked_of_it_again(
    queue, executor, dispatcher, settler
):
    task = (await queue.submit(SUBMISSION, LIMITS)).task
    await start_one(dispatcher)
    started = await state_of(queue, task.task_id)
    assert await conclude(queue, started, State.CANCELLED, Reason("cancelled", "by request"))
    await settler.settle_all()
    attempt_id = AttemptId(task.task_id, 1)
    assert executor.stopped == [(attempt_id, StopReason.CANCELLED)]
    executor.shown[attempt_id] = Observation(attempt_id, Phase.ALIVE, stop_asked=StopReason.CANCELLED)
    await settler.settle_all()
    assert len(executor.stopped) == 1


async def test_a_task_that_moved_on_while_it_was_judged_keeps_its_slot(queue, executor, dispatcher, settler):
    task = (await queue.submit(SUBMISSION, LIMITS)).task
    await start_one(dispatcher)
    before = await queue.look(task.task_id)
    (slot,) = await queue.slots()
    spec = executor.started.get_nowait()
    start = queue._redis.register_script(__import__("runner.scripts", fromlist=["load"]).load("start"))
    arguments = [task.task_id, 1, spec.environment["TASKPOST_TOKEN"], "holder"]
    await start(keys=[queue._prefix], args=arguments)
    seen = Observation(slot.attempt_id, Phase.ENDED, exit_code=1)
    await settler._applier.settle(slot, seen, before)
    assert (await state_of(queue, task.task_id)).state is State.RUNNING
    assert await queue.slots() == [slot]
    await settler._applier.settle(slot, seen, await queue.look(task.task_id))
    assert (await state_of(queue, task.task_id)).state is State.FAILED
    assert await queue.slots() == []


async def is_delivered(queue, task_id):
    return (await state_of(queue, task_id)).delivery.status == "delivered"


async def is_gone(queue, task_id):
    return await queue.read(task_id) is None


async def test_a_service_that_stops_waits_for_the_starts_under_way(queue, executor, book, dispatcher, background):
    executor.hold.clear()
    await queue.submit(SUBMISSION, LIMITS)
    starting = background(start_one(dispatcher))
    await until(lambda: as_awaited(bool(book.starting)))
    closing = background(dispatcher.close())
    await asyncio.sleep(0)
    assert not closing.done()
    executor.hold.set()
    await asyncio.wait_for(closing, 10)
    assert await starting
    assert executor.started.qsize() == 1
    assert not book.starting


async def test_but_not_for_ever(queue, executor, book, dispatcher, background, monkeypatch):
    monkeypatch.setattr("api.controller.dispatch.LAST_STARTS_SECONDS", 0.1)
    executor.hold.clear()
    await queue.submit(SUBMISSION, LIMITS)
    background(start_one(dispatcher))
    await until(lambda: as_awaited(bool(book.starting)))
    await asyncio.wait_for(dispatcher.close(), 5)
    assert book.starting


async def as_awaited(value):
    return value


async def test_what_its_type_says_of_retries_is_on_record_at_each_claim(queue):
    task_id = (await queue.submit(SUBMISSION, LIMITS)).task.task_id
    for rule, left in ((RetryRule(2, 0.0, ("crashed", "no_luck")), 2), (NO_RETRIES, -1)):
        claim = await queue.claim(1, {"sleep": None}, {"sleep": rule})
        retries = (await queue.read(task_id))[0].retries
        assert (retries.left, retries.codes) == (left, frozenset(rule.codes))
        assert await queue.requeue(claim.attempt_id, REASON, counts_as_loss=False, is_retry=True)
    task, _ = await queue.read(task_id)
    assert [(past.attempt, past.reason) for past in task.past] == [(1, REASON), (2, REASON)]


async def test_all_that_waits_for_a_removed_type_fails_and_what_was_never_known_has_time(queue):
    types = dict(definitions("sleep")())
    withdrawer = Withdrawer(queue, lambda: types)
    room = QueueLimits(1000, 100_000)
    waiting = [(await queue.submit(SUBMISSION, room)).task.task_id for _ in range(STEP + 1)]
    strange = (await queue.submit(replace(SUBMISSION, task_type="strange"), room)).task.task_id
    await withdrawer.look(0)
    assert {(await state_of(queue, task_id)).state for task_id in (*waiting, strange)} == {State.QUEUED}
    types.clear()
    await withdrawer.look(UNKNOWN_SECONDS - 1)
    assert {(await state_of(queue, task_id)).error.code for task_id in waiting} == {"type_removed"}
    assert (await state_of(queue, strange)).state is State.QUEUED
    await withdrawer.look(UNKNOWN_SECONDS)
    assert (await state_of(queue, strange)).error.code == "type_removed"


async def test_tasks_of_a_type_that_is_only_faulty_wait(queue):
    waiting = (await queue.submit(SUBMISSION, LIMITS)).task.task_id
    strange = (await queue.submit(replace(SUBMISSION, task_type="strange"), LIMITS)).task.task_id
    types = TaskTypes(definitions("sleep")(), complete=False)
    withdrawer = Withdrawer(queue, lambda: types)
    await withdrawer.look(0)
    types = TaskTypes({}, ["sleep"], complete=False)
    await withdrawer.look(UNKNOWN_SECONDS)
    await withdrawer.look(3 * UNKNOWN_SECONDS)
    assert {(await state_of(queue, task_id)).state for task_id in (waiting, strange)} == {State.QUEUED}
    types = TaskTypes({}, ["sleep"])
    await withdrawer.look(4 * UNKNOWN_SECONDS)
    await withdrawer.look(5 * UNKNOWN_SECONDS)
    assert (await state_of(queue, waiting)).state is State.QUEUED
    assert (await state_of(queue, strange)).error.code == "type_removed"
    types = TaskTypes({})
    await withdrawer.look(6 * UNKNOWN_SECONDS)
    assert (await state_of(queue, waiting)).error.code == "type_removed"


class ScriptedSender:
    def __init__(self, *results):
        self.results = list(results)
        self.posted = asyncio.Queue()
        self.hold = asyncio.Event()
        self.hold.set()

    async def post(self, url, delivery_id, body, *, now_seconds, timeout_seconds, grows=True):
        self.posted.put_nowait((url, delivery_id, body))
        await self.hold.wait()
        return self.results.pop(0)


async def ended(queue):
    task = (await queue.submit(SUBMISSION, LIMITS)).task
    assert await conclude(queue, task, State.CANCELLED, Reason("cancelled", "by request"))
    return task.task_id


async def test_due_deliveries_are_made_and_made_again(queue, background):
    sender = ScriptedSender(Try("the receiver answered 500"), Try(None))
    task_id = await ended(queue)
    background(Deliverer(queue, sender, (0.05,)).deliver(asyncio.Event()))
    first, second = await asyncio.wait_for(sender.posted.get(), 10), await asyncio.wait_for(sender.posted.get(), 10)
    assert first == second
    assert first[1] == f"msg_{task_id}"
    await until(lambda: is_delivered(queue, task_id))


async def test_a_delivery_whose_body_is_gone_is_dead(queue, redis_client):
    sender = ScriptedSender(Try(None))
    task_id = await ended(queue)
    await redis_client.delete(f"{queue._prefix}body:{task_id}")
    deliverer = Deliverer(queue, sender, (1,))
    await deliverer._start_due(asyncio.Event())
    await asyncio.gather(*deliverer._tries)
    assert sender.posted.empty()
    delivery = (await queue.read(task_id))[0].delivery
    assert (delivery.status, delivery.last_error) == ("dead", "the outcome is no longer kept")


async def test_no_more_tries_at_a_time_than_there_is_room_for_and_the_last_ones_may_end(queue, background, monkeypatch):
    monkeypatch.setattr("api.controller.delivery_places.QUICK_PLACES", 1)
    sender = ScriptedSender(Try(None), Try(None))
    sender.hold.clear()
    for _ in range(2):
        await ended(queue)
    wake = asyncio.Event()
    delivering = background(Deliverer(queue, sender, (1,)).deliver(wake))
    await asyncio.wait_for(sender.posted.get(), 10)
    wake.set()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sender.posted.get(), 0.1)
    delivering.cancel()
    await asyncio.sleep(0)
    sender.hold.set()
    await asyncio.gather(delivering, return_exceptions=True)
    assert (await queue.counts()).deliveries_pending == 1


async def test_a_try_that_cannot_be_reported_is_logged(queue, monkeypatch, caplog):
    monkeypatch.setattr("api.controller.delivery_attempt.RECORD_SECONDS", 0.1)
    sender = ScriptedSender(Try(None))
    await ended(queue)

    async def unavailable(*_):
        raise QueueUnavailable("Redis does not answer: gone")

    monkeypatch.setattr(queue.deliveries, "report", unavailable)
    deliverer = Deliverer(queue, sender, (1,))
    await deliverer._start_due(asyncio.Event())
    await asyncio.gather(*deliverer._tries)
    assert "delivery_not_reported" in caplog.messages


async def attempt(deliverer):
    await deliverer._start_due(asyncio.Event())
    await asyncio.gather(*deliverer._tries)


async def test_a_mistake_of_ours_counts_as_an_attempt_and_goes_along_the_schedule(queue, redis_client, caplog):
    sender = ScriptedSender()  # it has nothing to answer
    task_id = await ended(queue)
    deliverer = Deliverer(queue, sender, (0.001,))
    await attempt(deliverer)
    assert "delivery_failed" in caplog.messages
    delivery = (await queue.read(task_id))[0].delivery
    assert (delivery.status, delivery.attempts) == ("pending", 1)
    assert delivery.last_error == "Taskpost could not make the attempt (IndexError, see its log)"
    while (await queue.read(task_id))[0].delivery.status == "pending":
        await attempt(deliverer)
    delivery = (await queue.read(task_id))[0].delivery
    assert (delivery.status, delivery.attempts) == ("dead", 2)


async def test_a_body_that_cannot_be_read_is_an_attempt_too(queue, redis_client):
    task_id = await ended(queue)
    await redis_client.delete(f"{queue._prefix}body:{task_id}")
    await redis_client.lpush(f"{queue._prefix}body:{task_id}", "not a string")
    await attempt(Deliverer(queue, ScriptedSender(), (60,)))
    delivery = (await queue.read(task_id))[0].delivery
    assert (delivery.status, delivery.attempts) == ("pending", 1)
    assert "ResponseError" in delivery.last_error


async def test_a_body_that_redis_does_not_give_costs_nothing(queue, monkeypatch):
    task_id = await ended(queue)

    async def unavailable(_):
        raise QueueUnavailable("Redis does not answer: gone")

    monkeypatch.setattr(queue, "read_body", unavailable)
    await attempt(Deliverer(queue, ScriptedSender(), (60,)))
    delivery = (await queue.read(task_id))[0].delivery
    assert (delivery.status, delivery.attempts) == ("pending", 0)


async def test_what_cannot_be_recorded_as_it_is_is_recorded_without_its_words(queue):
    task_id = await ended(queue)
    await attempt(Deliverer(queue, ScriptedSender(Try("half a character: \ud800")), (60,)))
    delivery = (await queue.read(task_id))[0].delivery
    assert (delivery.status, delivery.attempts) == ("pending", 1)
    assert "could not be recorded (UnicodeEncodeError" in delivery.last_error


async def test_a_record_that_redis_refuses_at_first_is_made_again_and_nothing_is_sent_twice(queue, monkeypatch):
    task_id = await ended(queue)
    sender, report, faults = ScriptedSender(Try(None)), queue.deliveries.report, [QueueUnavailable("gone")]

    async def report_in_the_end(*arguments):
        if faults:
            raise faults.pop()
        await report(*arguments)

    monkeypatch.setattr(queue.deliveries, "report", report_in_the_end)
    await attempt(Deliverer(queue, sender, (60,)))
    assert await is_delivered(queue, task_id)
    assert sender.posted.qsize() == 1


async def test_an_attempt_that_outlasts_its_lease_keeps_it(queue, background, monkeypatch):
    monkeypatch.setattr("api.controller.deliver.LEASE_SECONDS", 1.0)
    monkeypatch.setattr("api.controller.deliver.EXTEND_SECONDS", 0.2)
    task_id = await ended(queue)
    sender, extend, extended = ScriptedSender(Try(None)), queue.deliveries.extend, []
    sender.hold.clear()

    async def counted(*arguments):
        await extend(*arguments)
        extended.append(await queue.now_ms())

    monkeypatch.setattr(queue.deliveries, "extend", counted)
    wake = asyncio.Event()
    background(Deliverer(queue, sender, (60,)).deliver(wake))
    await asyncio.wait_for(sender.posted.get(), 10)
    await until(lambda: extended and extended[-1] - extended[0] > 1500)
    wake.set()
    assert sender.posted.empty(), "nobody else could claim it meanwhile"
    sender.hold.set()
    await until(lambda: is_delivered(queue, task_id))
    assert sender.posted.empty()


@pytest.mark.parametrize(
    "fault", [QueueUnavailable("gone"), RuntimeError("a mistake of ours"), asyncio.CancelledError()]
)
async def test_a_claim_that_fails_changes_nothing_for_attempts_under_way(queue, background, monkeypatch, fault):
    """Only the end of the service ends them: a library may raise CancelledError for reasons of its own."""
    monkeypatch.setattr("api.controller.deliver.FIRST_PAUSE_SECONDS", 0.01)
    first = await ended(queue)
    sender, claim, faults = ScriptedSender(Try(None), Try(None)), queue.deliveries.claim, []
    sender.hold.clear()
    failed = asyncio.Event()

    async def claim_in_the_end(*arguments):
        if faults:
            failed.set()
            raise faults.pop()
        return await claim(*arguments)

    monkeypatch.setattr(queue.deliveries, "claim", claim_in_the_end)
    wake = asyncio.Event()
    delivering = background(Deliverer(queue, sender, (60,)).deliver(wake))
    await asyncio.wait_for(sender.posted.get(), 10)
    faults += [fault] * 2
    wake.set()
    await asyncio.wait_for(failed.wait(), 10)
    second = await ended(queue)
    wake.set()
    sender.hold.set()
    await until(lambda: is_delivered(queue, first))
    wake.set()
    await until(lambda: is_delivered(queue, second))
    assert sender.posted.qsize() == 1, "one for the second, and no repeat of the first"
    assert not delivering.done()


async def test_what_holds_a_slot_since_we_looked_is_left_alone(queue, executor, dispatcher, settler):
    task = (await queue.submit(SUBMISSION, LIMITS)).task
    await start_one(dispatcher)
    await settler._applier.end_without_slot(Observation(AttemptId(task.task_id, 1), Phase.ALIVE))
    assert executor.stopped == []


async def test_supervised_duties_go_on_after_any_fault(caplog):
    calls = []
    done = asyncio.Event()

    async def duty():
        calls.append(None)
        match len(calls):
            case 1:
                raise QueueUnavailable("Redis does not answer: gone")
            case 2:
                raise NotLeading("another service has the lease")
            case 3:
                raise RuntimeError("a mistake of ours")
            case _:
                done.set()

    supervised = asyncio.create_task(supervise("duty", duty))
    await asyncio.wait_for(done.wait(), 10)
    await cancel(supervised)
    assert caplog.messages == ["duty_waits_for_redis", "duty_refused", "duty_failed"]


async def test_a_long_good_run_forgets_earlier_pauses(monkeypatch):
    monkeypatch.setattr("api.controller.supervise.LONGEST_PAUSE_SECONDS", 0.0)
    turns = asyncio.Queue()

    async def duty():
        turns.put_nowait(None)
        await asyncio.sleep(0.001)

    supervised = asyncio.create_task(supervise("duty", duty))
    for _ in range(3):
        await asyncio.wait_for(turns.get(), 10)
    await cancel(supervised)


async def test_waiting_ends_by_the_event_or_the_clock_and_clears_it():
    event = asyncio.Event()
    await wait_at_most(event, 0.001)
    event.set()
    await wait_at_most(event, 1000)
    assert not event.is_set()


@pytest.mark.parametrize("duty", ["dispatch", "settle", "deliver", None, "unknown"])
def test_a_wakeup_is_for_whom_it_names(duty):
    woken = Wakeups()
    woken.wake(duty)
    names = ("dispatch", "settle", "deliver")
    assert {name for name in names if getattr(woken, name).is_set()} == {name for name in names if duty in {name, None}}


async def test_wakeups_are_heard(queue, redis_client, instance):
    heard = Wakeups()
    listening = asyncio.create_task(listen(lambda: wakeups(redis_client, instance), heard))
    await asyncio.wait_for(heard.settle.wait(), 10)
    for event in (heard.dispatch, heard.settle, heard.deliver):
        event.clear()
    task = (await queue.submit(SUBMISSION, LIMITS)).task
    await asyncio.wait_for(heard.dispatch.wait(), 10)
    assert not heard.deliver.is_set()
    heard.dispatch.clear()
    await queue.submit(SUBMISSION, LIMITS)
    assert await conclude(queue, task, State.CANCELLED, Reason("cancelled", "by request"))
    await asyncio.wait_for(heard.deliver.wait(), 10)
    assert heard.settle.is_set()
    assert not heard.dispatch.is_set(), "one more of a type that waits is no news"
    await queue.claim(1, {"sleep": None})
    (slot,) = await queue.slots()
    await queue.release(slot)
    await asyncio.wait_for(heard.dispatch.wait(), 10)
    await cancel(listening)


async def test_silence_is_no_end_of_listening(redis_client, instance, monkeypatch):
    monkeypatch.setattr("api.queue.wakeups.LISTEN_SECONDS", 0.01)
    heard = wakeups(redis_client, instance)
    assert await anext(heard) is None
    following = asyncio.ensure_future(anext(heard))
    await asyncio.sleep(0.05)
    await redis_client.publish(f"{{taskpost:{instance}}}:wakeups", "settle")
    assert await asyncio.wait_for(following, 10) == "settle"
    await heard.aclose()


async def test_the_sweep_goes_on(queue, background, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("api.controller.sweep.SHORTEST_PAUSE_SECONDS", 0.01)
    task = (await queue.submit(Submission("sleep", "{}", None, 0, 1000), LIMITS)).task
    await conclude(queue, task, State.CANCELLED, Reason("cancelled", "by request"))
    background(sweep(queue, Retention(0.05, 100, 100_000, 100_000), asyncio.Event()))
    await until(lambda: is_gone(queue, task.task_id))

    async def told():
        return "tasks_swept" in caplog.messages

    await until(told)


@pytest.mark.parametrize(
    "spoil", ["SET {} text", "HSET {} finished soon bytes many", "HDEL {} state finished bytes", "DEL {}"]
)
async def test_record_spoilt_by_hand_does_not_stop_retention(queue, redis_client, instance, spoil):
    tasks = [(await queue.submit(Submission("sleep", "{}", None, 0, 1000), LIMITS)).task for _ in range(3)]
    for task in tasks:
        await conclude(queue, task, State.CANCELLED, Reason("cancelled", "by request"))
    record = f"{{taskpost:{instance}}}:task:{tasks[0].task_id}"
    if spoil.startswith("SET"):
        await redis_client.delete(record)
    await redis_client.execute_command(*spoil.format(record).split(" "))
    assert (await queue.sweep(Retention(0, 100, 100_000, 100_000))).forgotten == 3
    assert not await redis_client.exists(record)


async def test_spoilt_backlog_is_told_and_does_not_stop_retention(queue, redis_client, instance):
    task = (await queue.submit(Submission("sleep", "{}", None, 0, 1000), LIMITS)).task
    await conclude(queue, task, State.CANCELLED, Reason("cancelled", "by request"))
    await redis_client.set(f"{{taskpost:{instance}}}:undelivered", "text")
    await redis_client.hset(f"{{taskpost:{instance}}}:totals", "undelivered_bytes", 10**12)
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await queue.sweep(Retention(0, 100, 100_000, 100_000))
    assert await queue.read(task.task_id) is None


async def test_one_leads_until_it_resigns_and_then_the_other(queue, background, monkeypatch):
    monkeypatch.setattr("api.controller.lead.RENEW_SECONDS", 0.02)
    turns = asyncio.Queue()

    def duties(name):
        async def lead():
            turns.put_nowait(name)
            await asyncio.Event().wait()

        return lead

    first, second = Leadership(queue, "first"), Leadership(queue, "second")
    leading = background(first.lead(duties("first")))
    assert await asyncio.wait_for(turns.get(), 10) == "first"
    background(second.lead(duties("second")))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(turns.get(), 0.2)
    await cancel(leading)
    await first.resign()
    assert await asyncio.wait_for(turns.get(), 10) == "second"
    await first.resign()
    assert not await queue.lead("first", 10)


async def test_a_leader_that_finds_its_lease_taken_stops_its_duties(queue, redis_client, background, monkeypatch):
    monkeypatch.setattr("api.controller.lead.RENEW_SECONDS", 0.02)
    stopped = asyncio.Event()

    async def duties():
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    background(Leadership(queue, "first").lead(duties))
    await until(lambda: redis_client.exists(f"{queue._prefix}leader"))
    await redis_client.set(f"{queue._prefix}leader", "another")
    await asyncio.wait_for(stopped.wait(), 10)


async def test_a_leader_that_cannot_renew_stops_its_duties_in_time(queue, background, monkeypatch):
    monkeypatch.setattr("api.controller.lead.RENEW_SECONDS", 0.02)
    monkeypatch.setattr("api.controller.lead.LEASE_SECONDS", 0.2)
    began, stopped = asyncio.Event(), asyncio.Event()

    async def duties():
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async def unavailable(*_):
        raise QueueUnavailable("Redis does not answer: gone")

    leadership = Leadership(queue, "first")
    background(leadership.lead(duties))
    await asyncio.wait_for(began.wait(), 10)
    monkeypatch.setattr(queue, "lead", unavailable)
    await asyncio.wait_for(stopped.wait(), 10)
    monkeypatch.setattr(queue, "resign", unavailable)
    await leadership.resign()


async def test_a_task_that_loses_a_cancellation_is_cancelled_again(monkeypatch):
    monkeypatch.setattr("api.cancellation.CANCEL_AGAIN_SECONDS", 0.01)
    lost = []

    async def deaf():
        while len(lost) < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                lost.append(None)
        await asyncio.Event().wait()

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    await cancel(task)
    assert task.cancelled()
    assert len(lost) == 2
