"""What an attempt's observation means for its task: a pure function of (task, observation, now). Design section 7."""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from api.core.observation import PATIENT, Cause, Obstacle, Phase, StopReason
from api.core.task import Reason
from runner.contract import EXIT_BY_SIGTERM, EXIT_REFUSED, EXIT_TERMINATED, EXIT_UNREACHABLE, ErrorCode, State

if TYPE_CHECKING:
    from api.core.observation import Observation
    from api.core.task import Task

LINGER_SECONDS: Final = 30.0
"""How long an attempt may live on after its outcome is recorded: for its delivery try, and for a mesh's sidecar."""
QUOTA_PATIENCE_SECONDS: Final = 10.0
"""How long an attempt that a quota keeps from beginning holds its slot: others may need less than it does."""
MAX_MESSAGE_CHARACTERS: Final = 2000


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds that deadlines and retries are judged by."""

    max_attempts: int
    start_deadline_seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before `until_ms` (None: until something is observed)."""

    until_ms: int | None


@dataclass(frozen=True, slots=True)
class Stop:
    """End the attempt's process or pod; its end is settled when it is seen."""

    reason: StopReason


@dataclass(frozen=True, slots=True)
class Release:
    """The attempt is over and its task needs nothing of it: free the slot."""


@dataclass(frozen=True, slots=True)
class Requeue:
    """The attempt is over without an outcome and its task is tried again.

    `rest` says that its type pauses first; `is_retry` that it failed, and that its type wants another after a pause.
    """

    reason: Reason
    counts_as_loss: bool
    rest: bool = False
    is_retry: bool = False


@dataclass(frozen=True, slots=True)
class Suspend:
    """The attempt was taken off its node and will begin anew there or elsewhere: its task is `starting` again."""


@dataclass(frozen=True, slots=True)
class Fail:
    """The attempt is over and so is its task."""

    reason: Reason


Decision = Wait | Stop | Suspend | Release | Requeue | Fail


def settle(task: Task | None, observation: Observation, now_ms: int, limits: Limits) -> Decision:
    """Return what is to be done about an attempt that holds a slot.

    `task` is None if its record is gone. `now_ms` is Unix time in milliseconds by the clock of Redis.
    """
    alive = observation.phase is Phase.ALIVE
    if task is None or not task.has_attempt(observation.attempt_id.attempt):
        return _linger(task, observation, now_ms) if alive else Release()
    if alive:
        return _within_deadline(task, observation, now_ms, limits)
    if task.retries.asked is not None:
        return Requeue(task.retries.asked, counts_as_loss=False, is_retry=True)
    decision = _ended(task, observation, now_ms, limits)
    if isinstance(decision, Fail) and task.retries.left > 0 and decision.reason.code in task.retries.codes:
        return Requeue(decision.reason, counts_as_loss=False, is_retry=True)
    return decision


def cannot_start(task: Task, observation: Observation) -> bool:
    """Whether something is wrong with the start of this attempt that other attempts of its type will meet too."""
    if observation.cause in {Cause.UNSTARTABLE, Cause.REFUSED}:
        return True
    return task.state is State.STARTING and observation.waiting is not None and observation.waiting.code not in PATIENT


def _linger(task: Task | None, observation: Observation, now_ms: int) -> Decision:
    """The task needs this attempt no more; the runner gets time for its delivery try if it recorded the outcome."""
    if observation.stop_asked is not None:
        return Wait(None)
    if task is None or not task.ended or task.attempt != observation.attempt_id.attempt:
        return Stop(StopReason.OBSOLETE)
    if task.state is State.CANCELLED:
        return Stop(StopReason.CANCELLED)
    until_ms = (task.finished_ms or now_ms) + int(LINGER_SECONDS * 1000)
    return Stop(StopReason.OBSOLETE) if now_ms >= until_ms else Wait(until_ms)


def _within_deadline(task: Task, observation: Observation, now_ms: int, limits: Limits) -> Decision:
    if observation.stop_asked is not None:
        return Wait(None)
    if task.stop_asked is not None:  # by a leader that did not get to it
        return Stop(task.stop_asked)
    if observation.cause is Cause.SUSPENDED and task.state is State.RUNNING:
        return Suspend()
    if observation.exit_code is not None:
        return Stop(StopReason.OBSOLETE)
    if observation.hopeless and task.state is State.STARTING:
        return Stop(StopReason.HOPELESS)
    until_ms, reason = _deadline_ms(task, now_ms, limits), StopReason.DEADLINE
    if task.state is State.STARTING and observation.waiting is not None and observation.waiting.code == Obstacle.QUOTA:
        until_ms, reason = (task.claimed_ms or now_ms) + int(QUOTA_PATIENCE_SECONDS * 1000), StopReason.QUOTA
    return Stop(reason) if now_ms >= until_ms else Wait(until_ms)


def _deadline_ms(task: Task, now_ms: int, limits: Limits) -> int:
    if task.state is State.RUNNING and task.started_ms is not None:
        return task.started_ms + task.timeout_ms
    return (task.claimed_ms or now_ms) + int(limits.start_deadline_seconds * 1000)


def _ended(task: Task, observation: Observation, now_ms: int, limits: Limits) -> Decision:
    """An attempt is over and left no outcome."""
    asked, waiting = observation.stop_asked or task.stop_asked, observation.waiting or task.waiting
    if asked is StopReason.DEADLINE or _was_overdue(task, observation, now_ms, limits):
        return Fail(_deadline_passed(task, waiting, limits))
    if asked is not None:
        by_us = _ended_by_us(asked, waiting)
        if by_us is not None:
            return by_us
        if observation.cause is Cause.JOB_DELETED:  # as it looks to a service that has not deleted it itself
            observation = replace(observation, cause=None)
    failure = _failure(observation)
    if failure is not None:
        return Fail(failure)
    how = _lost(observation)
    if how is None:
        return Fail(Reason(ErrorCode.CRASHED, _crash_message(observation)))
    counts = task.state is State.RUNNING
    if counts and task.losses + 1 >= limits.max_attempts:
        return Fail(Reason(ErrorCode.LOST, f"{how}; {limits.max_attempts} attempts were lost, the most that are made"))
    rest = observation.cause in {Cause.REFUSED, Cause.OWNER_DELETED}
    return Requeue(Reason("attempt_lost", how), counts_as_loss=counts, rest=rest)


def _ended_by_us(asked: StopReason, waiting: Reason | None) -> Decision | None:
    """Return what it means that we ended an attempt, or None if how it ended says more."""
    match asked:
        case StopReason.SHUTDOWN:
            reason = Reason("service_stopped", "The service was stopped while this task ran")
            return Requeue(reason, counts_as_loss=False)
        case StopReason.QUOTA:
            reason = waiting or Reason(Obstacle.QUOTA, "A quota of the namespace is used up")
            return Requeue(reason, counts_as_loss=False, rest=True)
        case StopReason.HOPELESS:
            return Fail(Reason(ErrorCode.CANNOT_START, waiting.message if waiting else "The attempt can never begin"))
        case _:
            return None


def _was_overdue(task: Task, observation: Observation, now_ms: int, limits: Limits) -> bool:
    """Whether its deadline ended it: a service that asked for its end may have ended itself before it saw it."""
    if observation.cause is Cause.OVERDUE:
        return True
    return observation.cause is Cause.DELETED and now_ms >= _deadline_ms(task, now_ms, limits)


def _failure(observation: Observation) -> Reason | None:
    """Say why the attempt failed if that is plain from what is seen, or None."""
    detail = observation.detail
    match observation.cause:
        case Cause.OUT_OF_MEMORY:
            return Reason(ErrorCode.OUT_OF_MEMORY, _sentence("The attempt used more memory than it may", detail))
        case Cause.OUT_OF_STORAGE:
            return Reason(ErrorCode.OUT_OF_STORAGE, _sentence("The attempt used more storage than it may", detail))
        case Cause.UNSTARTABLE:
            return Reason(ErrorCode.CANNOT_START, _sentence("The runner could not be started", detail))
        case Cause.JOB_DELETED:
            return Reason(ErrorCode.JOB_DELETED, "The Job of this task was deleted by somebody else")
        case _:
            return None


_LOSSES: Final = {
    Cause.DISRUPTED: "The attempt's place was taken from it",
    Cause.DELETED: "The attempt was ended by somebody else",
    Cause.REFUSED: "The node refused the attempt",
    Cause.SUSPENDED: "The attempt was suspended",
    Cause.OWNER_DELETED: "The attempt was deleted with what it belonged to",
}


def _lost(observation: Observation) -> str | None:
    """Say how the attempt was lost to something outside of it, or None if it ended by itself."""
    if observation.cause in _LOSSES:
        return _sentence(_LOSSES[observation.cause], observation.detail)
    if observation.phase is Phase.GONE:
        return _sentence("The attempt ended unseen, while the service was not running", observation.detail)
    if observation.signal == signal.SIGTERM or observation.exit_code in {EXIT_TERMINATED, EXIT_BY_SIGTERM}:
        return "The attempt was terminated by somebody else (SIGTERM)"
    if observation.exit_code == EXIT_UNREACHABLE:
        return "The runner could not reach Redis until its deadline"
    if observation.exit_code == EXIT_REFUSED:
        return "The runner was refused: another process had begun this attempt"
    return None


def _deadline_passed(task: Task, waiting: Reason | None, limits: Limits) -> Reason:
    if task.state is State.RUNNING:
        return Reason(ErrorCode.TIMED_OUT, f"The task ran longer than its {task.timeout_ms / 1000:g} seconds")
    text = f"The attempt did not begin within {limits.start_deadline_seconds:g} seconds"
    return Reason(ErrorCode.CANNOT_START, _sentence(text, waiting.message if waiting else ""))


def _sentence(text: str, detail: str) -> str:
    return f"{text}: {detail.strip()[:MAX_MESSAGE_CHARACTERS]}" if detail.strip() else text


def _crash_message(observation: Observation) -> str:
    if observation.signal is not None:
        name = signal.strsignal(observation.signal) or "unknown"
        how = f"The runner was killed by signal {observation.signal} ({name})"
    else:
        how = f"The runner ended with exit code {observation.exit_code} and recorded no outcome"
    tail = observation.log_tail.strip()
    return f"{how}. Its last output: {tail[-MAX_MESSAGE_CHARACTERS:]}" if tail else how
