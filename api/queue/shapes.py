"""What goes into the queue's verbs and what comes out of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.core.observation import AttemptId
    from api.core.task import Reason, Task, TaskSummary
    from runner.contract import DeliveryStatus, State
    from runner.delivery.tries import PastTry


MEBIBYTE: Final = 1024 * 1024
DIGEST_BYTES: Final = 16


def digest(text: str | None) -> bytes:
    """Return the 16 bytes that are stored for an idempotency key or a body; none for None."""
    return hashlib.sha256(text.encode()).digest()[:DIGEST_BYTES] if text else b""


@dataclass(frozen=True, slots=True)
class Submission:
    """A valid task, ready for the queue. `task_input` is JSON text."""

    task_type: str
    task_input: str
    result_url: str | None
    priority: int
    timeout_ms: int
    idempotency_key: str | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The task is in the queue, by this call or (`replayed`) by an earlier one with the same idempotency key."""

    task: Task
    replayed: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The task is not in the queue.

    `code` is `conflict` or `expired` (`detail` is the id of the task that had the idempotency key), `full_length` or
    `full_bytes` (`detail`: how much waits), `full_receiver` or `full_undelivered` (`detail` is how many bytes wait for
    delivery), or `full_keys` (`detail` is the milliseconds until there is room for another idempotency key).
    """

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much may be held: tasks that wait, bytes of their input, bytes of ended tasks, and idempotency keys.

    Of ended tasks `kept_max_bytes` bounds those with nothing left to deliver, the others those that wait for delivery.
    """

    max_length: int
    max_bytes: int
    kept_max_bytes: int = 512 * MEBIBYTE
    undelivered_max_bytes: int = 128 * MEBIBYTE
    undelivered_max_bytes_per_receiver: int = 32 * MEBIBYTE
    max_keys: int = 250_000


@dataclass(frozen=True, slots=True)
class Claim:
    """A slot, given to an attempt of a task. `token` is the fence that its runner must show."""

    attempt_id: AttemptId
    task_type: str
    token: str
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Slot:
    """An attempt that holds a slot."""

    attempt_id: AttemptId
    task_type: str


@dataclass(frozen=True, slots=True)
class Look:
    """A task (None: it does not exist) and the queue's steady clock in milliseconds, at one instant."""

    task: Task | None
    now_ms: int


@dataclass(frozen=True, slots=True)
class SlotUse:
    """How many slots are taken: by all types, and by the type in question; `held` is why that is held back, if so."""

    total: int
    of_type: int
    held: Reason | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the list, the number of all tasks that match, and where the next page begins."""

    tasks: tuple[TaskSummary, ...]
    total: int
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class StoredBody:
    """The callback's body of a task, if it has ended. `swept`: retention removed it; `dropped`: why it was dropped."""

    state: State | None
    body: bytes | None
    swept: bool
    dropped: str | None = None


class Lane(StrEnum):
    """In which queue a receiver's deliveries wait: it answers, nothing is known of it, or it is slow."""

    KNOWN = "known"
    FIRST = "first"
    AGAIN = "again"


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery that was leased to the caller. `tries` are those made since it was last asked for.

    `host` names its receiver, `account` the address that this is counted under ("": not known yet).
    """

    task_id: str
    result_url: str
    tries: int
    lane: Lane
    host: str
    account: str = ""
    body_bytes: int = 0


UNBOUNDED_BYTES: Final = 2**50


@dataclass(frozen=True, slots=True)
class Pool:
    """The free places of a group of delivery attempts, and the bytes of bodies that it uses and may use."""

    places: int
    used_bytes: int = 0
    max_bytes: int = UNBOUNDED_BYTES


@dataclass(frozen=True, slots=True)
class Room:
    """How many deliveries a sender has room for: to receivers that are not slow (`quick`), and to slow ones (`again`).

    `per_receiver`, `per_unknown` (nothing is known of it) and `per_account` (of `again`) are the most attempts at a
    time, `known_per_account` those of `quick` to receivers at one address that answer, `unknown` the places of `quick`
    for new receivers. `share_bytes` bounds the bodies of one receiver or account; those of up to
    `small_bytes` are not counted. `receivers`, `accounts` (of `again`) and `known_accounts` hold the attempts and the
    bytes under way.
    """

    quick: Pool
    again: Pool
    per_receiver: int
    per_unknown: int
    per_account: int
    known_per_account: int
    unknown: int
    share_bytes: int = UNBOUNDED_BYTES
    small_bytes: int = 0
    receivers: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    accounts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    known_accounts: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tries:
    """A task, the newest tries of its delivery in order, and the answer to the last one that has been kept."""

    task: Task
    tries: tuple[PastTry, ...]
    answer: str


@dataclass(frozen=True, slots=True)
class Redelivered:
    """What came of asking for a delivery again.

    `code` is `due`, `sending` (a try is being made), `no_callback`, `not_ended`, `gone` (the outcome is no longer kept;
    `detail`: why it was dropped, if it was), `full_receiver` or `full_undelivered` (`detail`: how many bytes wait), or
    `unknown`; only then is there no task.
    """

    code: str
    task: Task | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class GivenUp:
    """What giving a delivery up led to: `given_up`, `delivered`, `no_callback`, `not_ended` or `unknown` (no task)."""

    code: str
    task: Task | None


@dataclass(frozen=True, slots=True)
class RedeliveredDead:
    """How many dead deliveries were made due, for how many there was no room, and where the next step begins."""

    made_due: int
    no_room: int
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Dropped:
    """A result that was dropped because too much waited for delivery."""

    task_id: str
    receiver: str
    number_of_bytes: int


@dataclass(frozen=True, slots=True)
class Retained:
    """The result of one step of retention. `passed` of the `ended` tasks are due but still needed."""

    forgotten: int
    dropped: tuple[Dropped, ...]
    logs_dropped: int
    passed: int
    ended: int


@dataclass(frozen=True, slots=True)
class DeadOnes:
    """Which deliveries are meant of those given up: of a host ("": all), and of tasks that ended in a span of time."""

    host: str = ""
    finished_from_ms: int | None = None
    finished_before_ms: int | None = None


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """A page of tasks by their deliveries, how many there are of all hosts, and where the next page begins."""

    tasks: tuple[Task, ...]
    total: int
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Counts:
    """What the instance holds: tasks by (type, state), slots by type, bytes, deliveries that are open or given up.

    `delivery_late_seconds` is for how long the earliest due delivery has been due; `tries` are all ever made, by the
    status that they led to.
    """

    tasks: Mapping[tuple[str, State], int]
    slots: Mapping[str, int]
    queued_bytes: int
    kept_bytes: int
    undelivered_bytes: int
    results_dropped: int
    log_bytes: int
    idempotency_keys: int
    deliveries_pending: int
    deliveries_dead: int
    delivery_late_seconds: float
    tries: Mapping[DeliveryStatus, int]


@dataclass(frozen=True, slots=True)
class Retention:
    """How long and how much is kept of ended tasks. `max_log_bytes` is for the logs of all tasks."""

    max_age_seconds: float
    max_count: int
    max_bytes: int
    max_log_bytes: int
