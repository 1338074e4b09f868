"""What all benchmarks share: figures in turns, medians and percentiles, a row of the table, the table. Pure."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

TITLES = ("what", "floor", "measured", "budget", "")


@dataclass(frozen=True, slots=True)
class Row:
    """One budget: the floor and the figure as people read them, and whether the figure is within the budget."""

    what: str
    floor: str
    measured: str
    budget: str
    holds: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Figures of the floor and of ours, taken in turns, so that what else the machine does befalls both."""

    floors: Sequence[float]
    ours: Sequence[float]

    @property
    def floor(self) -> float:
        return median(self.floors)

    @property
    def measured(self) -> float:
        return median(self.ours)

    @property
    def ratio(self) -> float:
        """How many times the floor ours is: the median over neighbours, which a slow minute does not move."""
        return median(ours / floor for floor, ours in zip(self.floors, self.ours, strict=True))


def in_turns(rounds: int, floor: Callable[[], float], ours: Callable[[], float]) -> Pairs:
    """Measure floor, ours, floor, ours, ...; the first of each is for warming up and not counted."""
    floor()
    ours()
    pairs = [(floor(), ours()) for _ in range(rounds)]
    return Pairs([pair[0] for pair in pairs], [pair[1] for pair in pairs])


def seconds_of(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the least of the values that `percent` of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]


def milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"


def mebibytes(size: float) -> str:
    return f"{size / 2**20:.1f} MiB"


def spread(seconds: Sequence[float]) -> str:
    return f"p50 {1000 * median(seconds):.0f}, p99 {1000 * percentile(seconds, 99):.0f} ms"


def table(rows: Sequence[Row]) -> str:
    """Return the rows as aligned text, and below it what was noted of each."""
    lines = [TITLES, *((row.what, row.floor, row.measured, row.budget, _verdict(row)) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(TITLES))]
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    rule = "  ".join("-" * width for width in widths).rstrip()
    notes = [f"{row.what}: {row.note}" for row in rows if row.note]
    return "\n".join([texts[0], rule, *texts[1:], *(["", *notes] if notes else [])])


def _verdict(row: Row) -> str:
    return "ok" if row.holds else "OVER"
