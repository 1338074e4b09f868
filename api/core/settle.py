"""What an attempt's observation means for its task: a pure function of (task, observation, now). Design section 7."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from api.core.observation import Phase, StopReason
from api.core.task import Reason
from runner.contract import EXIT_REFUSED, EXIT_TERMINATED, EXIT_UNREACHABLE, ErrorCode, State

if TYPE_CHECKING:
    from api.core.observation import Observation
    from api.core.task import Task

LINGER_SECONDS: Final = 30.0
"""How long an attempt may live on after its outcome is recorded: for its delivery try, and for a mesh's sidecar."""
EXIT_BY_SIGTERM: Final = 128 + int(signal.SIGTERM)
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
    """The attempt is over without an outcome and its task is tried again."""

    reason: Reason
    counts_as_loss: bool


@dataclass(frozen=True, slots=True)
class Fail:
    """The attempt is over and so is its task."""

    reason: Reason


Decision = Wait | Stop | Release | Requeue | Fail


def settle(task: Task | None, observation: Observation, now_ms: int, limits: Limits) -> Decision:
    """Return what is to be done about an attempt that holds a slot.

    `task` is None if its record is gone. `now_ms` is Unix time in milliseconds by the clock of Redis.
    """
    is_current = task is not None and not task.ended and task.attempt == observation.attempt_id.attempt
    if observation.phase is Phase.ALIVE:
        if task is None or not is_current:
            return _linger(task, observation, now_ms)
        return _within_deadline(task, observation, now_ms, limits)
    if task is None or not is_current:
        return Release()
    return _ended(task, observation, limits)


def _linger(task: Task | None, observation: Observation, now_ms: int) -> Decision:
    """The task needs this attempt no more; the runner gets time for its delivery try if it recorded the outcome."""
    if observation.stop_asked is not None:
        return Wait(None)
    if task is None or task.attempt != observation.attempt_id.attempt:
        return Stop(StopReason.OBSOLETE)
    if task.state is State.CANCELLED:
        return Stop(StopReason.CANCELLED)
    until_ms = (task.finished_ms or now_ms) + int(LINGER_SECONDS * 1000)
    return Stop(StopReason.OBSOLETE) if now_ms >= until_ms else Wait(until_ms)


def _within_deadline(task: Task, observation: Observation, now_ms: int, limits: Limits) -> Decision:
    if observation.stop_asked is not None:
        return Wait(None)
    until_ms = _deadline_ms(task, now_ms, limits)
    return Stop(StopReason.DEADLINE) if now_ms >= until_ms else Wait(until_ms)


def _deadline_ms(task: Task, now_ms: int, limits: Limits) -> int:
    if task.state is State.RUNNING and task.started_ms is not None:
        return task.started_ms + task.timeout_ms
    return (task.claimed_ms or now_ms) + int(limits.start_deadline_seconds * 1000)


def _ended(task: Task, observation: Observation, limits: Limits) -> Decision:
    """An attempt is over and left no outcome."""
    if observation.stop_asked is StopReason.DEADLINE:
        return Fail(_deadline_passed(task, limits))
    if observation.stop_asked is StopReason.SHUTDOWN:
        return Requeue(Reason("service_stopped", "The service was stopped while this task ran"), counts_as_loss=False)
    how = _lost(observation)
    if how is None:
        return Fail(Reason(ErrorCode.CRASHED, _crash_message(observation)))
    counts = task.state is State.RUNNING
    if counts and task.losses + 1 >= limits.max_attempts:
        return Fail(Reason(ErrorCode.LOST, f"{how}; {limits.max_attempts} attempts were lost, the most that are made"))
    return Requeue(Reason("attempt_lost", how), counts_as_loss=counts)


def _lost(observation: Observation) -> str | None:
    """Say how the attempt was lost to something outside of it, or None if it ended by itself."""
    if observation.phase is Phase.GONE:
        return "The attempt ended unseen, while the service was not running"
    if observation.signal == signal.SIGTERM or observation.exit_code in {EXIT_TERMINATED, EXIT_BY_SIGTERM}:
        return "The attempt was terminated by somebody else (SIGTERM)"
    if observation.exit_code == EXIT_UNREACHABLE:
        return "The runner could not reach Redis until its deadline"
    if observation.exit_code == EXIT_REFUSED:
        return "The runner was refused: another process had begun this attempt"
    return None


def _deadline_passed(task: Task, limits: Limits) -> Reason:
    if task.state is State.RUNNING:
        return Reason(ErrorCode.TIMED_OUT, f"The task ran longer than its {task.timeout_ms / 1000:g} seconds")
    seconds = limits.start_deadline_seconds
    return Reason(ErrorCode.CANNOT_START, f"The attempt did not begin within {seconds:g} seconds")


def _crash_message(observation: Observation) -> str:
    if observation.signal is not None:
        name = signal.strsignal(observation.signal) or "unknown"
        how = f"The runner was killed by signal {observation.signal} ({name})"
    else:
        how = f"The runner ended with exit code {observation.exit_code} and recorded no outcome"
    tail = observation.log_tail.strip()
    return f"{how}. Its last output: {tail[-MAX_MESSAGE_CHARACTERS:]}" if tail else how
