"""What an instance has counted since its Redis was empty: ended tasks, histograms of their times, ended deliveries."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from api.queue.deliveries import Call

SUM: Final = "sum"
HISTOGRAMS: Final = frozenset({"wait", "start", "run"})


@dataclass(frozen=True, slots=True)
class TypeCounters:
    """The counters of a task type.

    `labelled` has numbers by name (`ended`, `failed`, `requeued`) and label; `observed` has, for each histogram
    (`wait`, `start`, `run`), the number of observations by the upper bound of their bucket in milliseconds (None: more
    than the highest), and `sums_ms` their sums.
    """

    labelled: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    observed: Mapping[str, Mapping[int | None, int]] = field(default_factory=dict)
    sums_ms: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Counters:
    """The counters of an instance: by task type, and of ended deliveries by result.

    At most `max_types` types are counted apart; all others are counted together, as one further type.
    """

    bounds_ms: tuple[int, ...]
    max_types: int
    types: Mapping[str, TypeCounters]
    deliveries: Mapping[str, int]


class CounterStore:
    """The counters in Redis. The verbs that end tasks and deliveries count; this reads and forgets."""

    def __init__(self, call: Call, owner: str) -> None:
        self._call = call
        self._owner = owner

    async def read(self) -> Counters:
        """Return all counters."""
        return _counters(await self._call("counters"))

    async def forget_type(self, task_type: str) -> bool:
        """Forget a type that was removed, and its counters; False if a task of it is still kept. For the leader."""
        return bool(await self._call("forget_type", task_type, self._owner) == 1)


def _counters(reply: Sequence[Any]) -> Counters:
    bounds, max_types, rows, results = reply
    return Counters(
        bounds_ms=tuple(int(bound) for bound in bounds),
        max_types=int(max_types),
        types={task_type.decode(): _type_counters(flat) for task_type, flat in rows},
        deliveries={result.decode(): int(number) for result, number in results},
    )


def _type_counters(flat: Sequence[bytes]) -> TypeCounters:
    labelled: dict[str, dict[str, int]] = defaultdict(dict)
    observed: dict[str, dict[int | None, int]] = defaultdict(dict)
    sums_ms: dict[str, int] = {}
    for key, value in zip(flat[::2], flat[1::2], strict=True):
        name, _, label = key.decode().partition(" ")
        if name not in HISTOGRAMS:
            labelled[name][label] = int(value)
        elif label == SUM:
            sums_ms[name] = int(value)
        else:
            observed[name][int(label) if label.isdigit() else None] = int(value)
    return TypeCounters(labelled, observed, sums_ms)
