"""The log of an attempt is kept before its slot is free, and no fault of it delays the end of an attempt."""

from __future__ import annotations

import logging

import pytest

from api.controller.keep_log import READ_AT_STOP
from api.controller.settle import Settler
from api.core.decisions import Limits
from api.core.log_tail import LogTail
from api.core.observation import AttemptId, Observation, Phase, StopReason
from api.core.task import Reason
from api.queue.conclude import conclude
from api.queue.errors import NotLeading, QueueUnavailable
from api.queue.shapes import QueueLimits, Slot, Submission
from runner.attempt import read_attempt
from runner.connect import connect
from runner.contract import State, log_entry
from runner.outcome import Outcome, failed
from runner.report import Report

LIMITS = QueueLimits(100, 10_000)
SUBMISSION = Submission("sleep", "{}", None, 0, 60_000)
MUCH = 1024 * 1024
OUTPUT = LogTail(b"what it wrote\n")


@pytest.fixture
def settler(queue, executor, book):
    return Settler(queue, executor, book, Limits(3, 600, 3600), MUCH)


async def started(queue, executor, log=OUTPUT):
    await queue.submit(SUBMISSION, LIMITS)
    claim = await queue.claim(100, {"sleep": None})
    executor.shown[claim.attempt_id] = Observation(claim.attempt_id, Phase.ALIVE)
    executor.logs[claim.attempt_id] = log
    return claim


async def log_of(queue, claim):
    return await queue.logs.read(claim.attempt_id.task_id)


def ends(executor, claim, **how):
    how = {"phase": Phase.ENDED, "exit_code": 1} | how
    executor.shown[claim.attempt_id] = Observation(claim.attempt_id, **how)


def runner_of(claim, valkey_url, instance):
    given = {
        "REDIS_URL": valkey_url,
        "INSTANCE": instance,
        "TASK_ID": claim.attempt_id.task_id,
        "ATTEMPT": str(claim.attempt_id.attempt),
        "TOKEN": claim.token,
    }
    return Report(connect(valkey_url), read_attempt({f"TASKPOST_{name}": value for name, value in given.items()}))


async def settle_again(queue, settler, claim, observation):
    look = await queue.look(claim.attempt_id.task_id)
    await settler._applier.settle(Slot(claim.attempt_id, "sleep"), observation, look)


@pytest.mark.parametrize("log", [OUTPUT, LogTail()])
async def test_it_is_read_once_though_the_place_of_the_attempt_ends_after_the_task(queue, executor, settler, log):
    claim = await started(queue, executor, log)
    observation = Observation(claim.attempt_id, Phase.ENDED, exit_code=1)
    for _ in range(2):
        await settle_again(queue, settler, claim, observation)
    assert [name for name, _ in executor.calls].count("read_log") == 1
    assert (await log_of(queue, claim)).attempts == ({1: log} if log.data else {})


async def test_one_that_could_not_be_read_is_read_again(queue, executor, settler):
    claim = await started(queue, executor, LogTail(note="the node does not answer"))
    observation = Observation(claim.attempt_id, Phase.ENDED, exit_code=1)
    await settle_again(queue, settler, claim, observation)
    executor.logs[claim.attempt_id] = OUTPUT
    await settle_again(queue, settler, claim, observation)
    assert (await log_of(queue, claim)).attempts == {1: OUTPUT}


async def test_it_is_kept_before_the_task_has_failed_and_the_slot_is_free(queue, executor, settler):
    claim = await started(queue, executor)
    ends(executor, claim)
    order = []

    def noting(name):
        before = getattr(queue, name)

        async def note(*arguments):
            order.append((name, bool((await log_of(queue, claim)).attempts)))
            return await before(*arguments)

        setattr(queue, name, note)

    for name in ("conclude", "release"):
        noting(name)
    await settler.settle_all()
    assert order == [("conclude", True), ("release", True)]
    found = await log_of(queue, claim)
    assert (found.state, found.unfinished, found.attempts) == (State.FAILED, False, {1: OUTPUT})
    assert executor.shown == {}


async def test_each_attempt_of_a_task_has_its_own(queue, executor, settler):
    claim = await started(queue, executor, LogTail(b"first"))
    assert await queue.begin(claim.attempt_id)
    ends(executor, claim, phase=Phase.GONE, exit_code=None)
    await settler.settle_all()
    second = await queue.claim(100, {"sleep": None})
    executor.logs[second.attempt_id] = LogTail(b"second", truncated=True)
    ends(executor, second)
    await settler.settle_all()
    found = await log_of(queue, claim)
    assert found.attempts == {1: LogTail(b"first"), 2: LogTail(b"second", truncated=True)}


async def test_what_wrote_nothing_takes_nothing(queue, executor, settler):
    claim = await started(queue, executor, LogTail())
    ends(executor, claim)
    await settler.settle_all()
    assert (await queue.counts()).log_bytes == 0


async def test_before_a_stop_that_deletes_it_it_is_kept_as_it_is_then(queue, executor, settler):
    executor.stop_deletes_log = True
    claim = await started(queue, executor)
    task = (await queue.read(claim.attempt_id.task_id))[0]
    assert await conclude(queue, task, State.CANCELLED, Reason("cancelled", "by request"))
    await settler.settle_all()
    assert [name for name, _ in executor.calls][-2:] == ["read_log", "stop"]
    assert (await log_of(queue, claim)).attempts[1] == LogTail(OUTPUT.data, note=READ_AT_STOP)
    executor.logs[claim.attempt_id] = LogTail(note="its pod was gone")
    ends(executor, claim, phase=Phase.GONE, exit_code=None, stop_asked=StopReason.CANCELLED)
    await settler.settle_all()
    assert (await log_of(queue, claim)).attempts[1].data == OUTPUT.data, "better some of it than nothing"


async def test_what_can_be_read_at_the_end_replaces_what_was_read_before(queue, executor, settler):
    executor.stop_deletes_log = True
    claim = await started(queue, executor)
    task = (await queue.read(claim.attempt_id.task_id))[0]
    assert await conclude(queue, task, State.CANCELLED, Reason("cancelled", "by request"))
    await settler.settle_all()
    executor.logs[claim.attempt_id] = LogTail(OUTPUT.data + b"and then it was ended\n")
    ends(executor, claim, stop_asked=StopReason.CANCELLED)
    await settler.settle_all()
    assert (await log_of(queue, claim)).attempts == {1: LogTail(OUTPUT.data + b"and then it was ended\n")}


async def test_last_words_stand_in_for_what_cannot_be_read(queue, executor, settler):
    claim = await started(queue, executor, LogTail(note="its pod was gone"))
    ends(executor, claim, log_tail="out of cheese")
    await settler.settle_all()
    log = (await log_of(queue, claim)).attempts[1]
    assert (log.data, log.truncated) == (b"out of cheese", True)
    assert log.note.startswith("its pod was gone")


async def test_a_log_that_cannot_be_kept_keeps_no_attempt_from_its_end(queue, executor, settler, redis_client, caplog):
    spoilt, other = await started(queue, executor), await started(queue, executor)
    await redis_client.set(f"{queue._prefix}log:{spoilt.attempt_id.task_id}", "no hash")
    broken = await started(queue, executor)
    executor.faults["read_log", broken.attempt_id.task_id] = lambda: RuntimeError("no luck")
    for claim in (spoilt, other, broken):
        ends(executor, claim)
    await settler.settle_all()
    assert executor.shown == {} and await queue.slots() == []
    assert (await log_of(queue, other)).attempts == {1: OUTPUT}
    assert (await log_of(queue, broken)).state is State.FAILED
    assert [record.attempt for record in caplog.records if record.msg == "log_not_kept"] == [
        str(spoilt.attempt_id),
        str(broken.attempt_id),
    ]


async def test_while_redis_is_away_the_attempt_waits_with_its_log(queue, executor, settler, monkeypatch):
    claim = await started(queue, executor)
    ends(executor, claim)
    keep = queue.logs.keep

    async def away(*_, **__):
        raise QueueUnavailable("gone")

    monkeypatch.setattr(queue.logs, "keep", away)
    await settler.settle_all()
    assert claim.attempt_id in executor.shown
    monkeypatch.setattr(queue.logs, "keep", keep)
    await settler.settle_all()
    assert executor.shown == {}
    assert (await log_of(queue, claim)).attempts == {1: OUTPUT}


async def test_a_leader_that_is_none_any_more_ends_nothing(queue, executor, settler, monkeypatch):
    claim = await started(queue, executor)
    ends(executor, claim)

    async def another_leads(*_, **__):
        raise NotLeading("another")

    monkeypatch.setattr(queue.logs, "keep", another_leads)
    with pytest.raises(NotLeading):
        await settler.settle_all()
    assert claim.attempt_id in executor.shown


async def test_what_a_runner_has_handed_over_is_not_read_again(queue, executor, settler, valkey_url, instance):
    executor.stop_deletes_log = True
    claim = await started(queue, executor)
    report = runner_of(claim, valkey_url, instance)
    began = report.start()
    entry = log_entry(b"by the runner", truncated=False)
    report.finish(Outcome(State.DONE, "1", None), b"{}", began.started_ms, until=0, log=entry)
    ends(executor, claim, exit_code=0)
    await settler.settle_all()
    assert "read_log" not in dict(executor.calls)
    assert (await log_of(queue, claim)).attempts == {1: LogTail(b"by the runner")}


async def test_without_a_bound_nothing_is_read(queue, executor, book):
    claim = await started(queue, executor)
    executor.stop_deletes_log = True
    ends(executor, claim)
    await Settler(queue, executor, book, Limits(3, 600, 3600)).settle_all()
    assert executor.shown == {}
    assert "read_log" not in dict(executor.calls)


@pytest.mark.parametrize(
    ("outcome", "event", "told"),
    [
        (Outcome(State.DONE, "1", None), "task_done", {"attempt": 1, "task_type": "sleep"}),
        (failed("no_text", "nothing\nto count"), "task_failed", {"code": "no_text", "reason": "nothing\nto count"}),
    ],
)
async def test_an_outcome_of_a_runner_is_one_line_of_the_service_s_log(
    queue, executor, settler, valkey_url, instance, caplog, outcome, event, told
):
    caplog.set_level(logging.INFO)
    claim = await started(queue, executor)
    report = runner_of(claim, valkey_url, instance)
    began = report.start()
    report.finish(outcome, b"{}", began.started_ms + 2500, until=0)
    ends(executor, claim, exit_code=0)
    await settler.settle_all()
    await settler.settle_all()
    (record,) = [record for record in caplog.records if claim.attempt_id.task_id in str(vars(record))]
    assert record.msg == event
    assert record.ran_seconds == 2.5 and record.waited_seconds >= 0
    assert vars(record).items() >= told.items()


async def test_a_failure_that_is_tried_again_says_why(queue, executor, settler, caplog):
    caplog.set_level(logging.INFO)
    claim = await started(queue, executor)
    ends(executor, claim, phase=Phase.GONE, exit_code=None)
    await settler.settle_all()
    (record,) = [record for record in caplog.records if record.msg.startswith(("task_", "attempt_"))]
    assert (record.msg, record.decision, record.code) == ("attempt_settled", "requeue", "attempt_lost")
    assert "ended unseen" in record.reason


async def test_an_attempt_without_a_task_costs_no_call(queue, executor, settler):
    stray = AttemptId("0198c0de-7e57-7000-8abc-0123456789ab", 1)
    executor.shown[stray] = Observation(stray, Phase.GONE)
    await settler.settle_all()
    assert executor.shown == {}
