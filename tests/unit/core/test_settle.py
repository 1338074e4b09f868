"""What an attempt's end means: a row for each case that the local executor can see."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest

from api.core.observation import AttemptId, Observation, Phase, StopReason
from api.core.settle import Fail, Limits, Release, Requeue, Stop, Wait, settle
from api.core.task import task_from_record
from runner.contract import EXIT_REFUSED, EXIT_TERMINATED, EXIT_UNREACHABLE, State

NOW = 1_000_000
LIMITS = Limits(max_attempts=3, start_deadline_seconds=600)
ATTEMPT = AttemptId("task", 2)
ALIVE = Observation(ATTEMPT, Phase.ALIVE)
ENDED = Observation(ATTEMPT, Phase.ENDED)
GONE = Observation(ATTEMPT, Phase.GONE)
RECORD = {
    "type": "sleep",
    "state": "running",
    "priority": "0",
    "attempt": "2",
    "created": "900000",
    "claimed": "990000",
    "started": "995000",
    "timeout": "60000",
}
RUNNING = task_from_record("task", RECORD, None, None)
STARTING = replace(RUNNING, state=State.STARTING, started_ms=None)
DONE = replace(RUNNING, state=State.DONE, finished_ms=NOW - 1000)
CANCELLED = replace(RUNNING, state=State.CANCELLED, finished_ms=NOW - 1000)


def decide(task, observation, now_ms=NOW):
    return settle(task, observation, now_ms, LIMITS)


@pytest.mark.parametrize(
    ("task", "observation", "now_ms", "decision"),
    [
        (RUNNING, ALIVE, NOW, Wait(995_000 + 60_000)),
        (RUNNING, ALIVE, 995_000 + 59_999, Wait(995_000 + 60_000)),
        (RUNNING, ALIVE, 995_000 + 60_000, Stop(StopReason.DEADLINE)),
        (RUNNING, replace(ALIVE, stop_asked=StopReason.DEADLINE), 995_000 + 60_000, Wait(None)),
        (STARTING, ALIVE, NOW, Wait(990_000 + 600_000)),
        (STARTING, ALIVE, 990_000 + 600_000, Stop(StopReason.DEADLINE)),
        (replace(STARTING, claimed_ms=None), ALIVE, NOW, Wait(NOW + 600_000)),
        (replace(RUNNING, started_ms=None), ALIVE, NOW, Wait(990_000 + 600_000)),
    ],
)
def test_a_current_attempt_has_until_its_deadline(task, observation, now_ms, decision):
    assert decide(task, observation, now_ms) == decision


@pytest.mark.parametrize(
    ("task", "observation", "now_ms", "decision"),
    [
        (DONE, ALIVE, NOW, Wait(NOW - 1000 + 30_000)),
        (DONE, ALIVE, NOW - 1000 + 30_000, Stop(StopReason.OBSOLETE)),
        (replace(DONE, finished_ms=None), ALIVE, NOW, Wait(NOW + 30_000)),
        (CANCELLED, ALIVE, NOW, Stop(StopReason.CANCELLED)),
        (CANCELLED, replace(ALIVE, stop_asked=StopReason.CANCELLED), NOW, Wait(None)),
        (None, ALIVE, NOW, Stop(StopReason.OBSOLETE)),
        (replace(RUNNING, attempt=3), ALIVE, NOW, Stop(StopReason.OBSOLETE)),
    ],
)
def test_an_attempt_that_is_needed_no_more_is_ended(task, observation, now_ms, decision):
    assert decide(task, observation, now_ms) == decision


@pytest.mark.parametrize("task", [None, DONE, CANCELLED, replace(RUNNING, attempt=3)])
@pytest.mark.parametrize("observation", [replace(ENDED, exit_code=1), replace(ENDED, signal=9), GONE])
def test_a_recorded_outcome_stands_whatever_the_end_looks_like(task, observation):
    assert decide(task, observation) == Release()


LOST = [
    (GONE, "ended unseen"),
    (replace(ENDED, signal=int(signal.SIGTERM)), "SIGTERM"),
    (replace(ENDED, exit_code=EXIT_TERMINATED), "SIGTERM"),
    (replace(ENDED, exit_code=143), "SIGTERM"),
    (replace(ENDED, exit_code=EXIT_UNREACHABLE), "could not reach Redis"),
    (replace(ENDED, exit_code=EXIT_REFUSED), "another process"),
]


@pytest.mark.parametrize(("observation", "words"), LOST)
def test_a_lost_attempt_is_tried_again(observation, words):
    decision = decide(RUNNING, observation)
    assert isinstance(decision, Requeue)
    assert (decision.reason.code, decision.counts_as_loss) == ("attempt_lost", True)
    assert words in decision.reason.message


@pytest.mark.parametrize(("observation", "words"), LOST)
def test_the_last_attempt_lost_fails_the_task(observation, words):
    decision = decide(replace(RUNNING, losses=2), observation)
    assert isinstance(decision, Fail)
    assert decision.reason.code == "lost"
    assert words in decision.reason.message
    assert "3 attempts were lost" in decision.reason.message


@pytest.mark.parametrize(("observation", "words"), LOST)
def test_an_attempt_that_never_began_costs_nothing(observation, words):
    decision = decide(replace(STARTING, losses=2), observation)
    assert isinstance(decision, Requeue)
    assert not decision.counts_as_loss


@pytest.mark.parametrize("task", [RUNNING, STARTING])
@pytest.mark.parametrize(
    ("observation", "message"),
    [
        (replace(ENDED, exit_code=0), "The runner ended with exit code 0 and recorded no outcome"),
        (replace(ENDED, exit_code=1, log_tail="  \n"), "The runner ended with exit code 1 and recorded no outcome"),
        (replace(ENDED, signal=9), "The runner was killed by signal 9 (Killed)"),
        (replace(ENDED, signal=63), "The runner was killed by signal 63 (Real-time signal 29)"),
        (
            replace(ENDED, exit_code=7, log_tail="x" * 3000 + "the end\n"),
            "The runner ended with exit code 7 and recorded no outcome. Its last output: " + "x" * 1993 + "the end",
        ),
    ],
)
def test_a_crash_fails_with_its_last_words(task, observation, message):
    decision = decide(task, observation)
    assert isinstance(decision, Fail)
    assert decision.reason.code == "crashed"
    assert decision.reason.message.startswith(message.partition(" (Real")[0])
    assert decision.reason.message == message or observation.signal == 63


@pytest.mark.parametrize(
    ("task", "code", "message"),
    [
        (RUNNING, "timed_out", "The task ran longer than its 60 seconds"),
        (STARTING, "cannot_start", "The attempt did not begin within 600 seconds"),
    ],
)
def test_an_attempt_ended_at_its_deadline_says_which(task, code, message):
    decision = decide(task, replace(ENDED, signal=15, stop_asked=StopReason.DEADLINE))
    assert isinstance(decision, Fail)
    assert (decision.reason.code, decision.reason.message) == (code, message)


def test_an_attempt_that_the_service_ended_to_stop_costs_nothing():
    decision = decide(replace(RUNNING, losses=2), replace(ENDED, signal=15, stop_asked=StopReason.SHUTDOWN))
    assert isinstance(decision, Requeue)
    assert (decision.reason.code, decision.counts_as_loss) == ("service_stopped", False)
