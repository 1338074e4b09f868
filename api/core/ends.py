"""What it means that an attempt is over of which no outcome is on record. Design section 7."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from api.core.decisions import Complete, Fail, Requeue
from api.core.observation import Cause, Obstacle, Phase, StopReason
from api.core.task import Reason
from runner.contract import (
    EXIT_BY_SIGTERM,
    EXIT_REDIS_REFUSAL,
    EXIT_REFUSED,
    EXIT_TERMINATED,
    EXIT_UNREACHABLE,
    RUNNER_SAYS,
    ErrorCode,
    State,
    exit_message,
)

if TYPE_CHECKING:
    from api.core.decisions import Decision, Limits
    from api.core.observation import Observation
    from api.core.task import Task

MAX_MESSAGE_CHARACTERS: Final = 2000
MAX_UNBEGUN: Final = 10
"""How many attempts of a task may be lost in a row before they began."""
FIRST_UNBEGUN_PAUSE_SECONDS: Final = 1.0
LONGEST_UNBEGUN_PAUSE_SECONDS: Final = 300.0


def deadline_ms(task: Task, now_ms: int, limits: Limits) -> int:
    """Return when the time of a current attempt is over: to begin, or to run."""
    if task.state is State.RUNNING and task.begun_ms is not None:
        return task.begun_ms + task.timeout_ms
    return (task.claimed_ms or now_ms) + int(limits.start_deadline_seconds * 1000) - task.start_used_ms


def judge_end(task: Task, observation: Observation, now_ms: int, limits: Limits) -> Decision:
    """Return what follows from an attempt that is over and recorded no outcome."""
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
    if how is not None:
        return _lose(task, observation, how, limits)
    if observation.program is not None:
        return _judge_program(task, observation, limits)
    return Fail(Reason(ErrorCode.CRASHED, _crash_message(observation)))


def _judge_program(task: Task, observation: Observation, limits: Limits) -> Decision:
    """A program ended by itself: its exit code counts, and what its runner handed over."""
    if observation.exit_code != 0:
        return Fail(Reason(ErrorCode.TASK_ERROR, exit_message(observation.exit_code, observation.log_tail)))
    if task.staged is None:
        how = _sentence("The program ended well, but its runner did not hand the result over", observation.detail)
        return _lose(task, observation, how, limits)
    return Complete() if task.staged.error is None else Fail(task.staged.error)


def _lose(task: Task, observation: Observation, how: str, limits: Limits) -> Decision:
    counts = task.state is State.RUNNING
    if counts and task.losses + 1 >= limits.max_attempts:
        return Fail(Reason(ErrorCode.LOST, f"{how}; {limits.max_attempts} attempts were lost, the most that are made"))
    rest = observation.cause in {Cause.REFUSED, Cause.OWNER_DELETED}
    if counts:
        return Requeue(Reason("attempt_lost", how), counts_as_loss=True, rest=rest)
    return _lose_before_it_began(task, how, rest=rest)


def _lose_before_it_began(task: Task, how: str, *, rest: bool) -> Decision:
    """Try again after a pause that doubles: the cause may lie in the task itself, and stay."""
    lost = task.unbegun + 1
    if lost >= MAX_UNBEGUN:
        return Fail(Reason(ErrorCode.LOST, f"{how}; {lost} attempts in a row were lost before they began"))
    pause_seconds = min(FIRST_UNBEGUN_PAUSE_SECONDS * 2**task.unbegun, LONGEST_UNBEGUN_PAUSE_SECONDS)
    message = (
        f"{how}. It had not begun: {lost} of at most {MAX_UNBEGUN} in a row; the next follows in {pause_seconds:g} s"
    )
    return Requeue(Reason("attempt_lost", message), counts_as_loss=False, rest=rest, pause_seconds=pause_seconds)


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
    return observation.cause is Cause.DELETED and now_ms >= deadline_ms(task, now_ms, limits)


def _failure(observation: Observation) -> Reason | None:
    """Say why the attempt failed if that is plain from what is seen, or None."""
    detail = observation.detail
    match observation.cause:
        case Cause.OUT_OF_MEMORY:
            return Reason(ErrorCode.OUT_OF_MEMORY, _sentence("The attempt used more memory than it may", detail))
        case Cause.OUT_OF_STORAGE:
            return Reason(ErrorCode.OUT_OF_STORAGE, _sentence("The attempt used more storage than it may", detail))
        case Cause.UNSTARTABLE:
            what = "runner" if observation.program is None else "program"
            return Reason(ErrorCode.CANNOT_START, _sentence(f"The {what} could not be started", detail))
        case Cause.JOB_DELETED:
            return Reason(ErrorCode.JOB_DELETED, "The Job of this task was deleted by somebody else")
        case _:
            return None


_LOSSES: Final = {
    Cause.DISRUPTED: "The attempt's place was taken from it",
    Cause.DELETED: "The attempt was ended by somebody else",
    Cause.REFUSED: "The node refused the attempt",
    Cause.SUSPENDED: "The attempt was suspended",
    Cause.UNWATCHED: "The runner beside the program ended before it",
    Cause.OWNER_DELETED: "The attempt was deleted with what it belonged to",
}


_TERMINATED: Final = "The attempt was terminated by somebody else (SIGTERM)"
_LOST_BY_EXIT_CODE: Final = {
    EXIT_TERMINATED: _TERMINATED,
    EXIT_UNREACHABLE: "The runner could not reach Redis until its deadline",
    EXIT_REDIS_REFUSAL: "Redis refused a call of the runner",
    EXIT_REFUSED: "The runner was refused: another process had begun this attempt",
}


def _lost(observation: Observation) -> str | None:
    """Say how the attempt was lost to something outside of it, or None if it ended by itself."""
    if observation.cause in _LOSSES:
        return _sentence(_LOSSES[observation.cause], observation.detail)
    if observation.phase is Phase.GONE:
        return _sentence("The attempt ended unseen, while the service was not running", observation.detail)
    if observation.signal == signal.SIGTERM or observation.exit_code == EXIT_BY_SIGTERM:
        return _TERMINATED
    # The exit codes of a program are its own.
    how = None if observation.program is not None else _LOST_BY_EXIT_CODE.get(observation.exit_code or 0)
    return how and _sentence(how, _last_words(observation.log_tail))


def _last_words(log_tail: str) -> str:
    """Return what the runner itself has written last to its log, or nothing."""
    line = next((line for line in reversed(log_tail.splitlines()) if line.startswith(RUNNER_SAYS)), "")
    return line.removeprefix(RUNNER_SAYS)


def _deadline_passed(task: Task, waiting: Reason | None, limits: Limits) -> Reason:
    if task.state is State.RUNNING:
        return Reason(ErrorCode.TIMED_OUT, f"The task ran longer than its {task.timeout_ms / 1000:g} seconds")
    if waiting is not None and waiting.code == Obstacle.SUSPENDED:
        text = f"The attempt was suspended for longer than {limits.suspended_deadline_seconds:g} seconds"
        return Reason(ErrorCode.CANNOT_START, _sentence(text, waiting.message))
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
