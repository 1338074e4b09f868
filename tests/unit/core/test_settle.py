"""What an attempt's end means: a row for each case that an executor can see."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest

from api.core.decisions import Fail, Limits, Release, Requeue, Stop, Suspend, Wait
from api.core.ends import MAX_UNBEGUN
from api.core.observation import AttemptId, Cause, Observation, Obstacle, Phase, StopReason
from api.core.settle import cannot_start, settle
from api.core.task import Reason, Retries, task_from_record
from runner.contract import EXIT_REDIS_REFUSAL, EXIT_REFUSED, EXIT_TERMINATED, EXIT_UNREACHABLE, State

NOW = 1_000_000
LIMITS = Limits(max_attempts=3, start_deadline_seconds=600, suspended_deadline_seconds=3600)
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
STARTING = replace(RUNNING, state=State.STARTING, begun_ms=None)
DONE = replace(RUNNING, state=State.DONE, over_ms=NOW - 1000)
CANCELLED = replace(RUNNING, state=State.CANCELLED, over_ms=NOW - 1000)


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
        (replace(RUNNING, begun_ms=None), ALIVE, NOW, Wait(990_000 + 600_000)),
    ],
)
def test_a_current_attempt_has_until_its_deadline(task, observation, now_ms, decision):
    assert decide(task, observation, now_ms) == decision


@pytest.mark.parametrize(
    ("task", "observation", "now_ms", "decision"),
    [
        (DONE, ALIVE, NOW, Wait(NOW - 1000 + 30_000)),
        (DONE, ALIVE, NOW - 1000 + 30_000, Stop(StopReason.OBSOLETE)),
        (replace(DONE, over_ms=None), ALIVE, NOW, Wait(NOW + 30_000)),
        (CANCELLED, ALIVE, NOW, Stop(StopReason.CANCELLED)),
        (CANCELLED, replace(ALIVE, stop_asked=StopReason.CANCELLED), NOW, Wait(None)),
        (None, ALIVE, NOW, Stop(StopReason.OBSOLETE)),
        (replace(RUNNING, attempt=3), ALIVE, NOW, Stop(StopReason.OBSOLETE)),
        (replace(RUNNING, state=State.QUEUED), ALIVE, NOW, Stop(StopReason.OBSOLETE)),
    ],
)
def test_an_attempt_that_is_needed_no_more_is_ended(task, observation, now_ms, decision):
    assert decide(task, observation, now_ms) == decision


@pytest.mark.parametrize(
    "task", [None, DONE, CANCELLED, replace(RUNNING, attempt=3), replace(RUNNING, state=State.QUEUED)]
)
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
    (replace(ENDED, exit_code=EXIT_REDIS_REFUSAL), "Redis refused a call of the runner"),
    (
        replace(ENDED, exit_code=EXIT_REDIS_REFUSAL, log_tail="taskpost runner: before\ntaskpost runner: NOPERM no\nx"),
        "Redis refused a call of the runner: NOPERM no",
    ),
    (
        replace(ENDED, exit_code=EXIT_UNREACHABLE, log_tail="taskpost runner: Redis does not answer: refused\n"),
        "until its deadline: Redis does not answer: refused",
    ),
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
    assert (decision.counts_as_loss, decision.pause_seconds) == (False, 1.0)
    assert words in decision.reason.message


@pytest.mark.parametrize(("observation", "words"), LOST)
def test_attempts_that_never_began_follow_after_growing_pauses_and_are_bounded(observation, words):
    decisions = [decide(replace(STARTING, unbegun=lost), observation) for lost in range(MAX_UNBEGUN)]
    pauses = [decision.pause_seconds for decision in decisions[:-1]]
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert "2 of at most 10 in a row; the next follows in 2 s" in decisions[1].reason.message
    assert isinstance(decisions[-1], Fail)
    assert decisions[-1].reason.code == "lost"
    assert words in decisions[-1].reason.message
    assert "10 attempts in a row were lost before they began" in decisions[-1].reason.message


def test_what_we_end_ourselves_is_not_counted_as_lost_before_it_began():
    for reason in (StopReason.SHUTDOWN, StopReason.QUOTA):
        decision = decide(replace(STARTING, unbegun=9), replace(GONE, stop_asked=reason))
        assert isinstance(decision, Requeue)
        assert decision.pause_seconds is None


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


QUOTA = Reason(Obstacle.QUOTA, "FailedCreate: exceeded quota")
PULL = Reason(Obstacle.IMAGE, "ImagePullBackOff: Back-off pulling image")
BAD_NAME = Reason(Obstacle.IMAGE, "InvalidImageName: couldn't parse image name")


@pytest.mark.parametrize("task", [RUNNING, STARTING])
@pytest.mark.parametrize(
    ("cause", "detail", "code", "message"),
    [
        (Cause.OUT_OF_MEMORY, "OOMKilled", "out_of_memory", "The attempt used more memory than it may: OOMKilled"),
        (Cause.OUT_OF_STORAGE, "10Mi", "out_of_storage", "The attempt used more storage than it may: 10Mi"),
        (Cause.UNSTARTABLE, "StartError: no", "cannot_start", "The runner could not be started: StartError: no"),
        (Cause.JOB_DELETED, "", "job_deleted", "The Job of this task was deleted by somebody else"),
    ],
)
@pytest.mark.parametrize("exit_code", [0, 137])
def test_what_its_cause_makes_plain_fails_whatever_its_exit_code(task, cause, detail, code, message, exit_code):
    decision = decide(task, replace(ENDED, exit_code=exit_code, cause=cause, detail=detail))
    assert decision == Fail(Reason(code, message))


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (Cause.DISRUPTED, "The attempt's place was taken from it: why"),
        (Cause.DELETED, "The attempt was ended by somebody else: why"),
        (Cause.REFUSED, "The node refused the attempt: why"),
        (Cause.SUSPENDED, "The attempt was suspended: why"),
        (Cause.OWNER_DELETED, "The attempt was deleted with what it belonged to: why"),
    ],
)
@pytest.mark.parametrize("end", [replace(ENDED, exit_code=0), replace(ENDED, exit_code=137), GONE])
def test_what_took_an_attempt_from_outside_is_a_loss_even_with_exit_code_0(cause, words, end):
    observation = replace(end, cause=cause, detail="why")
    rest = cause in {Cause.REFUSED, Cause.OWNER_DELETED}
    assert decide(RUNNING, observation) == Requeue(Reason("attempt_lost", words), counts_as_loss=True, rest=rest)
    unbegun = Reason("attempt_lost", f"{words}. It had not begun: 1 of at most 10 in a row; the next follows in 1 s")
    assert decide(STARTING, observation) == Requeue(unbegun, counts_as_loss=False, rest=rest, pause_seconds=1)
    last = decide(replace(RUNNING, losses=2), observation)
    assert isinstance(last, Fail)
    assert last.reason.code == "lost"


@pytest.mark.parametrize(
    ("task", "cause", "now_ms", "code"),
    [
        (RUNNING, Cause.OVERDUE, NOW, "timed_out"),
        (STARTING, Cause.OVERDUE, NOW, "cannot_start"),
        (RUNNING, Cause.DELETED, 995_000 + 60_000, "timed_out"),
        (STARTING, Cause.DELETED, 990_000 + 600_000, "cannot_start"),
    ],
)
def test_what_ended_at_its_deadline_is_no_loss_whoever_ended_it(task, cause, now_ms, code):
    decision = decide(task, replace(GONE, cause=cause), now_ms)
    assert isinstance(decision, Fail)
    assert decision.reason.code == code


@pytest.mark.parametrize("waiting", [None, PULL, BAD_NAME])
def test_what_has_not_begun_is_waited_for_until_its_deadline(waiting):
    assert decide(STARTING, replace(ALIVE, waiting=waiting)) == Wait(990_000 + 600_000)


def test_what_can_never_begin_is_ended_at_once():
    observation = replace(ALIVE, waiting=BAD_NAME, hopeless=True)
    assert decide(STARTING, observation) == Stop(StopReason.HOPELESS)
    ended = replace(GONE, stop_asked=StopReason.HOPELESS)
    assert decide(replace(STARTING, waiting=BAD_NAME), ended) == Fail(Reason("cannot_start", BAD_NAME.message))
    assert decide(STARTING, ended) == Fail(Reason("cannot_start", "The attempt can never begin"))


def test_a_start_deadline_tells_what_was_waited_for():
    ended = replace(GONE, stop_asked=StopReason.DEADLINE, waiting=PULL)
    message = f"The attempt did not begin within 600 seconds: {PULL.message}"
    assert decide(STARTING, ended) == Fail(Reason("cannot_start", message))
    known = replace(STARTING, waiting=PULL)
    assert decide(known, replace(ended, waiting=None)) == Fail(Reason("cannot_start", message))


def test_a_quota_is_waited_for_in_the_queue_and_fails_nothing():
    observation = replace(ALIVE, waiting=QUOTA)
    assert decide(STARTING, observation, 990_000 + 9_999) == Wait(990_000 + 10_000)
    assert decide(STARTING, observation, 990_000 + 10_000) == Stop(StopReason.QUOTA)
    ended = replace(GONE, stop_asked=StopReason.QUOTA)
    assert decide(replace(STARTING, waiting=QUOTA), ended) == Requeue(QUOTA, counts_as_loss=False, rest=True)
    decision = decide(STARTING, ended)
    assert isinstance(decision, Requeue)
    assert decision.reason.code == "quota"


def test_what_one_leader_was_about_to_end_its_successor_ends():
    assert decide(replace(RUNNING, stop_asked=StopReason.DEADLINE), ALIVE) == Stop(StopReason.DEADLINE)


@pytest.mark.parametrize(
    ("task", "asked", "code"),
    [
        (RUNNING, StopReason.DEADLINE, "timed_out"),
        (STARTING, StopReason.DEADLINE, "cannot_start"),
        (STARTING, StopReason.HOPELESS, "cannot_start"),
    ],
)
def test_what_one_leader_ended_its_successor_does_not_take_for_somebody_else_s_doing(task, asked, code):
    decision = decide(replace(task, stop_asked=asked), replace(GONE, cause=Cause.JOB_DELETED))
    assert isinstance(decision, Fail)
    assert decision.reason.code == code
    obsolete = decide(replace(task, stop_asked=StopReason.OBSOLETE), replace(GONE, cause=Cause.JOB_DELETED))
    assert isinstance(obsolete, Requeue)


def test_a_suspended_attempt_starts_again_and_is_not_lost():
    suspended = replace(ALIVE, cause=Cause.SUSPENDED, waiting=Reason(Obstacle.SUSPENDED, "Suspended"))
    assert decide(RUNNING, suspended) == Suspend(suspended.waiting, released=False)
    waits = replace(STARTING, waiting=suspended.waiting, suspended_ms=NOW)
    released = replace(STARTING, waiting=suspended.waiting, suspended_ms=NOW)
    for task, observation in ((waits, suspended), (released, suspended), (released, ALIVE)):
        until = Wait(NOW + 3_600_000)
        assert decide(task, observation, NOW + 3_000_000) == until, "its start deadline counts from its release"
    assert decide(STARTING, ALIVE) == Wait(990_000 + 600_000)


def test_a_job_that_is_not_released_in_time_is_ended_with_the_reason():
    suspended = replace(
        ALIVE, cause=Cause.SUSPENDED, waiting=Reason(Obstacle.SUSPENDED, "Suspended by Kueue: no quota")
    )
    task = replace(STARTING, waiting=suspended.waiting, suspended_ms=NOW)
    assert decide(task, suspended, NOW + 3_600_000) == Stop(StopReason.DEADLINE)
    ended = replace(suspended, phase=Phase.GONE, stop_asked=StopReason.DEADLINE)
    decision = decide(task, ended, NOW + 3_600_001)
    assert isinstance(decision, Fail)
    assert decision.reason.code == "cannot_start"
    assert "suspended for longer than 3600 seconds: Suspended by Kueue: no quota" in decision.reason.message


def test_what_an_attempt_used_of_its_start_deadline_counts_in_every_release():
    assert decide(replace(STARTING, start_used_ms=200_000), ALIVE) == Wait(990_000 + 400_000)


def test_while_its_earlier_pod_ends_the_start_deadline_stands_still():
    waiting = Reason(Obstacle.TERMINATING, "The Job starts again when its earlier pod has ended: tp-1-abc")
    assert decide(STARTING, replace(ALIVE, waiting=waiting), NOW + 10_000_000) == Wait(None)


@pytest.mark.parametrize("state", [State.RUNNING, State.STARTING])
def test_a_new_process_of_an_attempt_says_that_it_was_interrupted(state):
    """A Job was suspended and released between two looks: its newest pod is not the one that had begun."""
    task = replace(RUNNING, state=state, holder="pod-1")
    decision = decide(task, replace(ALIVE, holder="pod-2"))
    assert isinstance(decision, Suspend)
    assert decision.released
    for observation in (replace(ALIVE, holder="pod-1"), ALIVE):
        assert not isinstance(decide(task, observation), Suspend)
    assert not isinstance(decide(replace(task, holder=None), replace(ALIVE, holder="pod-2")), Suspend)


def test_what_has_ended_beside_something_that_has_not_is_ended():
    assert decide(RUNNING, replace(ALIVE, exit_code=1, kept_up=True)) == Stop(StopReason.OBSOLETE)
    ended = decide(RUNNING, replace(ENDED, exit_code=1, stop_asked=StopReason.OBSOLETE))
    assert isinstance(ended, Fail)
    assert ended.reason.code == "crashed"
    assert decide(DONE, replace(ALIVE, exit_code=0)) == Wait(NOW - 1000 + 30_000)


@pytest.mark.parametrize(
    ("task", "observation", "expected"),
    [
        (STARTING, ALIVE, False),
        (STARTING, replace(ALIVE, waiting=PULL), True),
        (STARTING, replace(ALIVE, waiting=QUOTA), False),
        (RUNNING, replace(ALIVE, waiting=PULL), False),
        (STARTING, replace(ENDED, cause=Cause.UNSTARTABLE), True),
        (STARTING, replace(ENDED, cause=Cause.REFUSED), True),
        (STARTING, replace(ENDED, exit_code=1), False),
    ],
)
def test_what_speaks_against_the_start_of_others_of_its_type(task, observation, expected):
    assert cannot_start(task, observation) is expected


ONCE_MORE = replace(RUNNING, retries=Retries(left=1, codes=frozenset({"crashed", "timed_out"})))
ASKED = Reason("task_error", "once more")


@pytest.mark.parametrize(
    ("task", "observation", "retried"),
    [
        (ONCE_MORE, replace(ENDED, exit_code=9), "crashed"),
        (replace(ONCE_MORE, retries=Retries(0, frozenset({"crashed"}))), replace(ENDED, exit_code=9), None),
        (replace(ONCE_MORE, retries=Retries(1, frozenset({"timed_out"}))), replace(ENDED, exit_code=9), None),
        (ONCE_MORE, replace(ENDED, exit_code=137, stop_asked=StopReason.DEADLINE), "timed_out"),
        (replace(RUNNING, retries=Retries(asked=ASKED)), replace(ENDED, exit_code=0), "task_error"),
    ],
)
def test_a_failure_is_followed_by_another_attempt_if_its_type_wants_one(task, observation, retried):
    decision = decide(task, observation)
    if retried is None:
        assert isinstance(decision, Fail)
    else:
        assert decision == Requeue(decision.reason, counts_as_loss=False, is_retry=True)
        assert decision.reason.code == retried


def test_a_lost_attempt_is_a_loss_and_no_retry():
    assert decide(ONCE_MORE, GONE) == Requeue(decide(ONCE_MORE, GONE).reason, counts_as_loss=True)
