"""Which types may start how many attempts now: one that meets obstacles must not hold every slot.

A type whose attempts cannot start gets one slot, to see whether they can again. One that there is no room for rests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from api.core.observation import AttemptId

IN_A_ROW: Final = 3
"""How many of the newest attempts of a type must be unable to start."""
PROBING_SLOTS: Final = 1


def slots_of_type(limit: int | None, newest: Sequence[bool]) -> int | None:
    """Return how many slots a type may have. `newest` says of its newest attempts whether they cannot start."""
    if len(newest) < IN_A_ROW or not all(newest):
        return limit
    return PROBING_SLOTS if limit is None else min(limit, PROBING_SLOTS)


class Starts:
    """How the newest attempts of each type began, and until when it rests."""

    def __init__(self) -> None:
        self._newest: dict[str, dict[AttemptId, tuple[int, bool]]] = {}
        self._resting: dict[str, float] = {}

    def rest(self, task_type: str, until_seconds: float) -> None:
        """Start nothing of a type until then, by the clock that `limits` is asked by."""
        self._resting[task_type] = until_seconds

    def note(self, task_type: str, attempt_id: AttemptId, claimed_ms: int, *, cannot_start: bool) -> None:
        """Note of an attempt, which was made at a time, that it cannot start now, or that it can."""
        known = self._newest.get(task_type, {}) | {attempt_id: (claimed_ms, cannot_start)}
        newest = sorted(known.items(), key=lambda item: item[1], reverse=True)
        self._newest[task_type] = dict(newest[:IN_A_ROW])

    def limits(self, type_limits: Mapping[str, int | None], now_seconds: float) -> dict[str, int | None]:
        """Return the limits of all types but those that rest, less for those whose attempts cannot start."""
        return {
            name: slots_of_type(limit, [cannot_start for _, cannot_start in self._newest.get(name, {}).values()])
            for name, limit in type_limits.items()
            if now_seconds >= self._resting.get(name, 0.0)
        }
