"""What an executor sees of an attempt: the only input, beside the task's record, to what the attempt's end means."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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
    exited, `signal` that of one that was killed by a signal: an ended attempt has one of them. `stop_asked` is set
    when the end was asked for by us, and says why. `log_tail` is the end of what it wrote to its output.
    """

    attempt_id: AttemptId
    phase: Phase
    exit_code: int | None = None
    signal: int | None = None
    stop_asked: StopReason | None = None
    log_tail: str = ""
