"""What is seen of a program whose runner is beside it, and what follows for its task: a row for each case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from api.core.decisions import Begin, Complete, Fail, Limits, Requeue, Stop, Suspend, Wait
from api.core.observation import AttemptId, Cause, Observation, Obstacle, Phase, Program, StopReason
from api.core.settle import settle
from api.core.task import Reason, Retries, Staged, task_from_record
from runner.contract import State

NOW = 1_000_000
LIMITS = Limits(max_attempts=3, start_deadline_seconds=600, suspended_deadline_seconds=3600)
WAITING = Observation(AttemptId("task", 1), Phase.ALIVE, program=Program.WAITING)
RUNS = replace(WAITING, program=Program.RUNNING)
HANDING_OVER = replace(WAITING, program=Program.ENDED, exit_code=0)
OVER = replace(HANDING_OVER, phase=Phase.ENDED)
FAILED = replace(OVER, exit_code=3, log_tail="no such picture")
RECORD = {
    "type": "thumbnail",
    "state": "running",
    "priority": "0",
    "attempt": "1",
    "created": "900000",
    "claimed": "990000",
    "started": "995000",
    "timeout": "60000",
    "holder": "pod",
}
RUNNING = task_from_record("task", RECORD, None, None)
STARTING = replace(RUNNING, state=State.STARTING, begun_ms=None)
STAGED = task_from_record("task", RECORD | {"staged_code": "", "staged_message": ""}, None, None)
INVALID = task_from_record("task", RECORD | {"staged_code": "result_invalid", "staged_message": "no JSON"}, None, None)


def decide(task, observation, now_ms=NOW):
    return settle(task, observation, now_ms, LIMITS)


def test_what_was_handed_over_is_read_from_the_record():
    assert RUNNING.staged is None
    assert STAGED.staged == Staged()
    assert INVALID.staged == Staged(Reason("result_invalid", "no JSON"))


@pytest.mark.parametrize(
    ("task", "observation", "decision"),
    [
        (STARTING, WAITING, Wait(990_000 + 600_000)),
        (STARTING, RUNS, Begin()),
        (STARTING, HANDING_OVER, Begin()),
        (STARTING, FAILED, Begin()),
        (STARTING, replace(RUNS, stop_asked=StopReason.DEADLINE), Wait(None)),
        (replace(STARTING, stop_asked=StopReason.HOPELESS), RUNS, Stop(StopReason.HOPELESS)),
        (RUNNING, RUNS, Wait(995_000 + 60_000)),
        (RUNNING, HANDING_OVER, Wait(None)),
        (RUNNING, replace(HANDING_OVER, kept_up=True), Stop(StopReason.OBSOLETE)),
        (STAGED, RUNS, Wait(995_000 + 60_000)),
    ],
)
def test_a_task_runs_when_its_program_does(task, observation, decision):
    assert decide(task, observation) == decision


@pytest.mark.parametrize("observation", [HANDING_OVER, replace(HANDING_OVER, kept_up=True), OVER])
def test_a_result_that_was_handed_over_is_the_task_s_as_soon_as_its_program_has_ended(observation):
    assert decide(STAGED, observation) == Complete()
    assert decide(INVALID, observation) == Fail(Reason("result_invalid", "no JSON"))


@pytest.mark.parametrize("task", [RUNNING, STAGED, INVALID])
@pytest.mark.parametrize("phase", [Phase.ALIVE, Phase.ENDED])
@pytest.mark.parametrize("exit_code", [1, 3, 4, 15, 137])
def test_another_exit_code_than_0_is_the_task_s_failure_whatever_was_handed_over(task, phase, exit_code):
    decision = decide(task, replace(FAILED, phase=phase, exit_code=exit_code))
    words = f"The program ended with exit code {exit_code}. Its last output: no such picture"
    assert decision == Fail(Reason("task_error", words))


def test_a_failure_is_tried_again_if_the_type_says_so():
    task = replace(RUNNING, retries=Retries(1, frozenset({"task_error"})))
    decision = decide(task, FAILED)
    assert isinstance(decision, Requeue)
    assert decision.is_retry


def test_a_result_that_nobody_has_is_a_lost_attempt():
    decision = decide(RUNNING, replace(OVER, detail="Redis does not answer"))
    assert isinstance(decision, Requeue)
    assert decision.counts_as_loss
    assert decision.reason.message.endswith("did not hand the result over: Redis does not answer")
    last = decide(replace(RUNNING, losses=2), OVER)
    assert isinstance(last, Fail)
    assert last.reason.code == "lost"


@pytest.mark.parametrize("cause", [Cause.DELETED, Cause.DISRUPTED, Cause.OWNER_DELETED, Cause.UNWATCHED])
def test_exit_code_0_of_one_that_was_taken_away_is_no_success(cause):
    taken = replace(HANDING_OVER, cause=cause)
    assert decide(STAGED, taken) == Wait(None), "until it is over: two attempts at a time are one too many"
    assert isinstance(decide(STAGED, replace(taken, phase=Phase.ENDED)), Requeue)


def test_one_that_was_terminated_by_somebody_else_is_lost():
    assert decide(STAGED, replace(HANDING_OVER, exit_code=143)) == Wait(None)
    assert isinstance(decide(STAGED, replace(OVER, exit_code=143)), Requeue)


@pytest.mark.parametrize(
    ("cause", "code"), [(Cause.OUT_OF_MEMORY, "out_of_memory"), (Cause.OUT_OF_STORAGE, "out_of_storage")]
)
def test_what_it_used_too_much_of_is_said(cause, code):
    decision = decide(STAGED, replace(OVER, exit_code=137, cause=cause))
    assert isinstance(decision, Fail)
    assert decision.reason.code == code


def test_one_that_could_not_be_started_is_not_called_a_runner():
    decision = decide(
        STARTING, replace(WAITING, phase=Phase.ENDED, exit_code=128, cause=Cause.UNSTARTABLE, detail="no")
    )
    assert decision == Fail(Reason("cannot_start", "The program could not be started: no"))


def test_one_that_ends_well_when_its_time_is_over_is_late():
    asked = replace(HANDING_OVER, stop_asked=StopReason.DEADLINE)
    assert decide(STAGED, asked) == Wait(None)
    decision = decide(STAGED, replace(asked, phase=Phase.ENDED))
    assert isinstance(decision, Fail)
    assert decision.reason.code == "timed_out"


def test_one_that_is_suspended_after_its_runner_began_may_begin_anew():
    suspended = replace(WAITING, cause=Cause.SUSPENDED, waiting=Reason(Obstacle.SUSPENDED, "Suspended"))
    assert decide(STARTING, suspended) == Suspend(suspended.waiting, released=False)
    assert isinstance(decide(replace(STARTING, holder=None), suspended), Wait)
