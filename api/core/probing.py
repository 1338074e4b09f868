"""How many attempts each type may start now: a type whose attempts cannot begin must not hold every slot.

A type whose attempts cannot begin gets one slot, to find out when they can again. A type whose starts fail pauses
longer and longer, with one start in between. A type pauses for a moment after a quota rejection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from api.core.task import Reason

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from api.core.observation import AttemptId

IN_A_ROW: Final = 3
"""A type gets one slot when so many of its newest attempts cannot begin."""
PROBING_SLOTS: Final = 1
STARTS_OF_A_TYPE: Final = 8
"""How many starts of one type may be in progress."""
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0
TYPE_PAUSED: Final = "type_paused"
"""The code of the waiting reason while a type is paused."""
MESSAGE_CHARACTERS: Final = 500


def slots_of_type(limit: int | None, newest: Sequence[bool]) -> int | None:
    """Return how many slots a type may have. `newest` says of its newest attempts whether they cannot start."""
    if len(newest) < IN_A_ROW or not all(newest):
        return limit
    return PROBING_SLOTS if limit is None else min(limit, PROBING_SLOTS)


@dataclass(frozen=True, slots=True)
class _Failing:
    """A type whose newest start failed: since when, with which pause, until when, and why."""

    since_seconds: float
    pause_seconds: float
    until_seconds: float
    message: str


class Starts:
    """How the newest starts and attempts of each type went, and until when it pauses.

    All times are seconds of one clock that never goes back.
    """

    def __init__(self) -> None:
        self._newest: dict[str, dict[AttemptId, tuple[int, bool]]] = {}
        self._resting: dict[str, tuple[float, str]] = {}
        self._failing: dict[str, _Failing] = {}

    def rest(self, task_type: str, until_seconds: float, message: str = "") -> None:
        """Start nothing of a type until then; `message` is the reason."""
        self._resting[task_type] = (until_seconds, message)

    def failed(self, task_type: str, message: str, *, began_seconds: float, now_seconds: float) -> None:
        """Note that a start failed: its type pauses, twice as long as after the start before it."""
        before = self._failing.get(task_type)
        if before is not None and before.pause_seconds and began_seconds < before.since_seconds:
            return  # one of several starts that were under way together
        doubled = 2 * before.pause_seconds if before else 0.0
        pause_seconds = min(max(doubled, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
        self._failing[task_type] = _Failing(now_seconds, pause_seconds, now_seconds + pause_seconds, message)

    def unanswered(self, task_type: str, message: str, now_seconds: float) -> None:
        """Note that a start is still in progress without an answer: no other start of its type begins meanwhile."""
        self._failing.setdefault(task_type, _Failing(now_seconds, 0.0, now_seconds, message))

    def succeeded(self, task_type: str) -> bool:
        """Note that an attempt was started; return whether its type had been failing."""
        return self._failing.pop(task_type, None) is not None

    def is_failing(self, task_type: str) -> bool:
        """Return whether the newest start of a type failed, or is not answered."""
        return task_type in self._failing

    def note(self, task_type: str, attempt_id: AttemptId, claimed_ms: int, *, cannot_start: bool) -> None:
        """Note whether an attempt, claimed at a given time, can begin now."""
        known = self._newest.get(task_type, {}) | {attempt_id: (claimed_ms, cannot_start)}
        newest = sorted(known.items(), key=lambda item: item[1], reverse=True)
        self._newest[task_type] = dict(newest[:IN_A_ROW])

    def limits(
        self, type_limits: Mapping[str, int | None], now_seconds: float, starting: Mapping[str, int] | None = None
    ) -> dict[str, int | None]:
        """Return the slots by type, for types that may start an attempt now; `starting` counts starts in progress."""
        self._drop_all_but(type_limits)
        under_way = starting or {}
        return {
            name: slots_of_type(limit, self._cannot_begin(name))
            for name, limit in type_limits.items()
            if self._pause_end(name) <= now_seconds
            and under_way.get(name, 0) < (1 if name in self._failing else STARTS_OF_A_TYPE)
        }

    def next_end(self, now_seconds: float) -> float | None:
        """Return when the next pause of a type ends, or None if no type pauses."""
        ends = [self._pause_end(name) for name in {*self._resting, *self._failing}]
        return min((end for end in ends if end > now_seconds), default=None)

    def held(self, now_seconds: float) -> dict[str, Reason]:
        """Return the types that are paused or start fewer attempts than their slots allow, each with the reason."""
        found = {
            name: _reason(name, "the newest attempts could not begin; one at a time is tried")
            for name in self._newest
            if len(self._newest[name]) == IN_A_ROW and all(self._cannot_begin(name))
        }
        found |= {
            name: _reason(name, message or "there was no room for the last attempt")
            for name, (until_seconds, message) in self._resting.items()
            if until_seconds > now_seconds
        }
        return found | {name: _reason(name, failing.message) for name, failing in self._failing.items()}

    def _drop_all_but(self, names: Container[str]) -> None:
        """Forget types that no longer exist: the file of types may change while the service runs."""
        for table in (self._newest, self._resting, self._failing):
            for name in [name for name in table if name not in names]:
                del table[name]

    def _cannot_begin(self, task_type: str) -> list[bool]:
        return [cannot_start for _, cannot_start in self._newest.get(task_type, {}).values()]

    def _pause_end(self, task_type: str) -> float:
        failing = self._failing.get(task_type)
        return max(self._resting.get(task_type, (0.0, ""))[0], failing.until_seconds if failing else 0.0)


def _reason(task_type: str, message: str) -> Reason:
    return Reason(TYPE_PAUSED, f"Starts of {task_type} are paused: {message}"[:MESSAGE_CHARACTERS])
