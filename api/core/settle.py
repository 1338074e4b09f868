"""What an attempt's observation means for its task: a pure function of (task, observation, now). Design section 7."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.core.decisions import Begin, Fail, Release, Requeue, Stop, Suspend, Wait
from api.core.ends import deadline_ms, judge_end
from api.core.observation import PATIENT, Cause, Obstacle, Phase, Program, StopReason
from api.core.task import Reason
from runner.contract import EXIT_BY_SIGTERM, State

if TYPE_CHECKING:
    from api.core.decisions import Decision, Limits
    from api.core.observation import Observation
    from api.core.task import Task

LINGER_SECONDS: Final = 30.0
"""How long an attempt may live on after its outcome is recorded: for its delivery try, and for a mesh's sidecar."""
QUOTA_PATIENCE_SECONDS: Final = 10.0
"""How long an attempt that a quota keeps from beginning holds its slot: others may need less than it does."""


def settle(task: Task | None, observation: Observation, now_ms: int, limits: Limits) -> Decision:
    """Return what is to be done about an attempt that holds a slot.

    `task` is None if its record is gone. `now_ms` is the queue's steady clock in milliseconds.
    """
    alive = observation.phase is Phase.ALIVE
    if task is None or not task.has_attempt(observation.attempt_id.attempt):
        return _linger(task, observation, now_ms) if alive else Release()
    if _begins(task, observation):
        return Begin()
    if alive and not _has_outcome(task, observation):
        return _within_deadline(task, observation, now_ms, limits)
    if task.retries.asked is not None:
        return Requeue(task.retries.asked, counts_as_loss=False, is_retry=True)
    decision = judge_end(task, observation, now_ms, limits)
    if isinstance(decision, Fail) and task.retries.left > 0 and decision.reason.code in task.retries.codes:
        return Requeue(decision.reason, counts_as_loss=False, is_retry=True)
    return decision


def _begins(task: Task, observation: Observation) -> bool:
    """Whether the program has begun of a task that we have not asked to end: its runner cannot say so."""
    asked = observation.stop_asked or task.stop_asked
    return task.state is State.STARTING and observation.program in {Program.RUNNING, Program.ENDED} and not asked


def _has_outcome(task: Task, observation: Observation) -> bool:
    """Whether a program has ended by itself, and nothing more is waited for: its runner has but to end."""
    by_itself = observation.program is Program.ENDED and observation.cause is None and task.stop_asked is None
    if not by_itself or observation.stop_asked is not None or observation.exit_code in {None, EXIT_BY_SIGTERM}:
        return False
    return observation.exit_code != 0 or task.staged is not None


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
    until_ms = (task.over_ms or now_ms) + int(LINGER_SECONDS * 1000)
    return Stop(StopReason.OBSOLETE) if now_ms >= until_ms else Wait(until_ms)


def _within_deadline(task: Task, observation: Observation, now_ms: int, limits: Limits) -> Decision:
    if observation.stop_asked is not None:
        return Wait(None)
    if task.stop_asked is not None:  # by a leader that did not get to it
        return Stop(task.stop_asked)
    suspended = _suspension(task, observation)
    if suspended is not None:
        return suspended
    if observation.kept_up:
        return Stop(StopReason.OBSOLETE)
    if observation.hopeless and task.state is State.STARTING:
        return Stop(StopReason.HOPELESS)
    until_ms, reason = _until(task, observation, now_ms, limits)
    return Stop(reason) if until_ms is not None and now_ms >= until_ms else Wait(until_ms)


def _suspension(task: Task, observation: Observation) -> Suspend | None:
    """Decide about an attempt that was interrupted: the process of its holder is gone."""
    if not task.held and task.state is not State.RUNNING:
        return None
    if observation.cause is Cause.SUSPENDED:
        return Suspend(observation.waiting or Reason(Obstacle.SUSPENDED, "The Job is suspended"), released=False)
    if task.held and observation.holder not in {None, task.holder}:
        return Suspend(Reason(Obstacle.SUSPENDED, "The Job was suspended and has been released"), released=True)
    return None


def _until(task: Task, observation: Observation, now_ms: int, limits: Limits) -> tuple[int | None, StopReason]:
    """Return until when an attempt may go on, and why no longer."""
    if observation.program is Program.ENDED:  # its place gives its runner its time
        return None, StopReason.DEADLINE
    # While an attempt waits for its release its start deadline stands still. The release is noted first.
    codes = _codes(observation.waiting, task.waiting) if task.state is State.STARTING else set()
    if Obstacle.SUSPENDED in codes:
        since_ms = now_ms if task.suspended_ms is None else task.suspended_ms
        return since_ms + limits.suspended_deadline_ms, StopReason.DEADLINE
    if Obstacle.TERMINATING in codes:
        return None, StopReason.DEADLINE
    if task.state is State.STARTING and Obstacle.QUOTA in _codes(observation.waiting):
        return (task.claimed_ms or now_ms) + int(QUOTA_PATIENCE_SECONDS * 1000), StopReason.QUOTA
    return deadline_ms(task, now_ms, limits), StopReason.DEADLINE


def _codes(*reasons: Reason | None) -> set[str]:
    return {reason.code for reason in reasons if reason is not None}
