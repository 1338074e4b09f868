"""A task as the service sees it: a frozen view of its record in Redis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from api.core.observation import StopReason
from runner.contract import ENDS, DeliveryStatus, State

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something waits or failed: a stable code, and a sentence for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """How far the callback is. `next_ms` is when the next try is due, if one is."""

    status: DeliveryStatus
    attempts: int
    next_ms: int | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """An attempt that was lost, or failed and was followed by another: when it was settled, and why."""

    attempt: int
    ended_ms: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Retries:
    """How many more attempts a task may have after failures, and which codes of errors call for one.

    `asked` is why its current attempt failed, if that is on record already: then another follows it.
    """

    left: int = 0
    codes: frozenset[str] = frozenset()
    asked: Reason | None = None


NO_RETRIES: Final = Retries()


@dataclass(frozen=True, slots=True)
class Staged:
    """What a program has left was handed over: a result, or something that is none (`error`)."""

    error: Reason | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One task.

    `created_ms`, `started_ms` and `finished_ms` are Unix milliseconds of Redis TIME, for people. `claimed_ms`,
    `begun_ms` (the attempt began to run), `suspended_ms` (it began to wait for its release) and `over_ms` (the outcome
    was recorded) are of the queue's steady clock, as `Look.now_ms` is. `start_used_ms` is the part of its start
    deadline that the attempt used in earlier releases; `suspensions` counts how often the task was interrupted.
    Percents are in tenths, `timeout_ms` is the run time of one attempt.
    `stop_asked` is set when a leader is about to end the current attempt, or has.
    """

    task_id: str
    task_type: str
    state: State
    priority: int
    attempt: int
    losses: int
    percent_tenths: int
    created_ms: int
    claimed_ms: int | None
    started_ms: int | None
    finished_ms: int | None
    timeout_ms: int
    result_url: str | None
    waiting: Reason | None
    error: Reason | None
    stop_asked: StopReason | None
    delivery: Delivery
    queue_position: int | None
    message: str | None = None
    retries: Retries = NO_RETRIES
    past: tuple[PastAttempt, ...] = ()
    holder: str | None = None
    """The process that has taken the current attempt, even if the task has not begun."""
    staged: Staged | None = None
    begun_ms: int | None = None
    over_ms: int | None = None
    suspended_ms: int | None = None
    start_used_ms: int = 0
    suspensions: int = 0
    unbegun: int = 0
    """How many attempts in a row were lost before they began."""
    logged: int = 0
    """The latest attempt whose log is complete: its runner handed it over, or the service read it. 0 if none."""

    @property
    def held(self) -> bool:
        """Whether a process has taken the current attempt."""
        return self.holder is not None

    @property
    def ended(self) -> bool:
        """Whether an outcome is recorded."""
        return self.state in ENDS

    def has_attempt(self, number: int) -> bool:
        """Whether this is its current attempt, and has recorded no end."""
        return self.attempt == number and self.state in {State.STARTING, State.RUNNING}


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """What a list shows of a task."""

    task_id: str
    task_type: str
    state: State
    percent_tenths: int
    created_ms: int
    finished_ms: int | None
    queue_position: int | None


def task_from_record(
    task_id: str,
    record: Mapping[str, str],
    position: int | None,
    due_ms: int | None,
    past: tuple[PastAttempt, ...] = (),
) -> Task:
    """Return the task of a record's fields, as `runner/lua` writes them."""
    result_url = record.get("result_url")
    state = State(record["state"])
    return Task(
        task_id=task_id,
        task_type=record["type"],
        state=state,
        priority=int(record["priority"]),
        attempt=int(record.get("attempt", 0)),
        losses=int(record.get("losses", 0)),
        percent_tenths=int(record.get("percent", 0)),
        created_ms=int(record["created"]),
        claimed_ms=_optional_int(record.get("claimed")),
        started_ms=_optional_int(record.get("started")),
        finished_ms=_optional_int(record.get("finished")),
        timeout_ms=int(record["timeout"]),
        result_url=result_url,
        waiting=_reason(record, "waiting"),
        error=_reason(record, "error"),
        stop_asked=None if "stop" not in record else StopReason(record["stop"]),
        delivery=Delivery(
            status=_delivery_status(record, has_callback=result_url is not None),
            attempts=int(record.get("delivery_attempts", 0)),
            next_ms=due_ms,
            last_error=record.get("delivery_error"),
        ),
        queue_position=position,
        message=record.get("message"),
        retries=_retries(record),
        past=past,
        holder=record.get("holder"),
        staged=_staged(record),
        begun_ms=_optional_int(record.get("begun", record.get("started"))),
        over_ms=_optional_int(record.get("over", record.get("finished"))),
        suspended_ms=_optional_int(record.get("suspended")),
        start_used_ms=int(record.get("start_used", 0)),
        suspensions=int(record.get("suspensions", 0)),
        unbegun=int(record.get("unbegun", 0)),
        logged=int(record.get("logged", 0)),
    )


def _staged(record: Mapping[str, str]) -> Staged | None:
    told = _reason(record, "staged")
    if told is None:
        return None
    return Staged(told if told.code else None)


def _retries(record: Mapping[str, str]) -> Retries:
    if "retries" not in record and "retried" not in record:
        return NO_RETRIES
    return Retries(
        left=int(record.get("retries", 0)) - int(record.get("retried", 0)),
        codes=frozenset(filter(None, record.get("retry_on", "").split(","))),
        asked=_reason(record, "retry"),
    )


def _delivery_status(record: Mapping[str, str], *, has_callback: bool) -> DeliveryStatus:
    if not has_callback:
        return DeliveryStatus.NONE
    return DeliveryStatus(record.get("delivery", DeliveryStatus.WAITING))


def _reason(record: Mapping[str, str], name: str) -> Reason | None:
    code = record.get(f"{name}_code")
    return None if code is None else Reason(code, record.get(f"{name}_message", ""))


def _optional_int(text: str | None) -> int | None:
    return None if text is None else int(text)
