"""What can be decided about an attempt, and the bounds that it is judged by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.core.observation import StopReason
    from api.core.task import Reason


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds that deadlines and retries are judged by."""

    max_attempts: int
    start_deadline_seconds: float
    suspended_deadline_seconds: float

    @property
    def suspended_deadline_ms(self) -> int:
        """How long an attempt may wait for the release of its Job."""
        return int(self.suspended_deadline_seconds * 1000)


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
    `pause_seconds` is set if the attempt was lost before it began: the pause of its task alone, before the next.
    """

    reason: Reason
    counts_as_loss: bool
    rest: bool = False
    is_retry: bool = False
    pause_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Begin:
    """The program of the attempt has begun, as its runner could not say: the task is `running`."""


@dataclass(frozen=True, slots=True)
class Complete:
    """The attempt is over, and the result that was handed over is the task's: it is `done`."""


@dataclass(frozen=True, slots=True)
class Suspend:
    """The attempt was taken off its node and begins again when its Job is released: its task is `starting` until then.

    `reason` is what interrupted it. `released` says that its Job is released already.
    """

    reason: Reason
    released: bool


@dataclass(frozen=True, slots=True)
class Fail:
    """The attempt is over and so is its task."""

    reason: Reason


Decision = Wait | Begin | Stop | Suspend | Release | Requeue | Complete | Fail
