"""A type whose attempts cannot start gets one slot, to see whether they can again: it must not hold every slot."""

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
    """How the newest attempts of each type began."""

    def __init__(self) -> None:
        self._newest: dict[str, dict[AttemptId, tuple[int, bool]]] = {}

    def note(self, task_type: str, attempt_id: AttemptId, claimed_ms: int, *, cannot_start: bool) -> None:
        """Note of an attempt, which was made at a time, that it cannot start now, or that it can."""
        known = self._newest.get(task_type, {}) | {attempt_id: (claimed_ms, cannot_start)}
        newest = sorted(known.items(), key=lambda item: item[1], reverse=True)
        self._newest[task_type] = dict(newest[:IN_A_ROW])

    def limits(self, type_limits: Mapping[str, int | None]) -> dict[str, int | None]:
        """Return the limits of all types, less for those whose attempts cannot start."""
        return {
            name: slots_of_type(limit, [cannot_start for _, cannot_start in self._newest.get(name, {}).values()])
            for name, limit in type_limits.items()
        }
