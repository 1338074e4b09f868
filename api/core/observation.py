"""What an executor sees of an attempt: the only input, beside the task's record, to what the attempt's end means."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.core.task import Reason


class Phase(StrEnum):
    """How far an attempt's process or pod is."""

    ALIVE = "alive"
    ENDED = "ended"
    GONE = "gone"


class StopReason(StrEnum):
    """Why we asked an attempt to end."""

    CANCELLED = "cancelled"
    DEADLINE = "deadline"
    SHUTDOWN = "shutdown"
    OBSOLETE = "obsolete"
    HOPELESS = "hopeless"
    QUOTA = "quota"


class Cause(StrEnum):
    """What ended an attempt (or, while it is alive, what is ending it), where its exit code alone does not say it."""

    OUT_OF_MEMORY = "out_of_memory"
    """It, or a process that it started, was killed for using more memory than it may."""
    OUT_OF_STORAGE = "out_of_storage"
    """It was ended for using more disk than it may."""
    DISRUPTED = "disrupted"
    """Its place was taken from it: a drain, a preemption, a node that is short of something or gone."""
    DELETED = "deleted"
    """Somebody else ended it from outside."""
    REFUSED = "refused"
    """The node that it was given to did not take it."""
    UNSTARTABLE = "unstartable"
    """Its program could not be started."""
    UNWATCHED = "unwatched"
    """It is a program, and ended well, but the runner beside it had ended before: nobody has its result."""
    OVERDUE = "overdue"
    """The executor's own safety net ended it: it had had all its time."""
    SUSPENDED = "suspended"
    """It was taken off its node, and is to begin again when somebody says so."""
    JOB_DELETED = "job_deleted"
    """Somebody deleted the very order to run it."""
    OWNER_DELETED = "owner_deleted"
    """What it belonged to was deleted, and it was deleted with it."""


class Obstacle(StrEnum):
    """What keeps an attempt that is alive from beginning; also the code of the reason that its task shows."""

    UNSCHEDULABLE = "unschedulable"
    IMAGE = "image"
    CONTAINER = "container"
    POD_REFUSED = "pod_refused"
    QUOTA = "quota"
    SUSPENDED = "suspended"
    TERMINATING = "terminating"
    """The Job starts again when its earlier pod has ended."""
    NO_POD = "no_pod"


class Program(StrEnum):
    """How far the program of a container type is, whose runner is beside it and cannot tell."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


PATIENT: frozenset[str] = frozenset({Obstacle.QUOTA, Obstacle.SUSPENDED, Obstacle.TERMINATING, Obstacle.NO_POD})
"""Obstacles that say nothing against the attempt: others of its type do not get fewer slots for them."""


@dataclass(frozen=True, slots=True)
class AttemptId:
    """Which attempt of which task."""

    task_id: str
    attempt: int

    def __str__(self) -> str:
        return f"{self.task_id}-{self.attempt}"


@dataclass(frozen=True, slots=True)
class Observation:
    """An attempt as its executor sees it.

    `GONE` is an attempt of which nothing is left and whose end nobody saw. `exit_code` is that of a process that
    exited, `signal` that of one that was killed by a signal: an ended attempt has one of them, or a `cause`.
    An attempt that is alive with an exit code has ended itself, but something beside it has not. `stop_asked` is set
    when the end was asked for by us, and says why. `log_tail` is the end of what it wrote to its output.

    `program` is set where the runner is beside the task's program: then `exit_code` and `log_tail` are the program's,
    and an attempt that is alive with a program that has ended is handing over its result, unless it is `kept_up` by
    something that ends with nothing else.

    `holder` names the process that runs it now, where that can change within an attempt: the uid of its newest pod.

    `cause` and `detail` say what ended it, `detail` in the words of the place it ran in. `waiting` says why one that
    is alive has not begun (its code is an `Obstacle`), `hopeless` that this can never get better.
    """

    attempt_id: AttemptId
    phase: Phase
    exit_code: int | None = None
    signal: int | None = None
    stop_asked: StopReason | None = None
    log_tail: str = ""
    cause: Cause | None = None
    detail: str = ""
    waiting: Reason | None = None
    hopeless: bool = False
    program: Program | None = None
    kept_up: bool = False
    holder: str | None = None
