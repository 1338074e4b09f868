"""Runs the subjects of a set of benchmarks, and prints what was found as one table."""

from __future__ import annotations

import sys
import time
import traceback
from typing import TYPE_CHECKING

from tests.benchmarks.measure import Row, table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Subjects = Mapping[str, Callable[[], Sequence[Row]]]


def report(subjects: Subjects, names: Sequence[str]) -> int:
    """Run the subjects named, or all; return the exit code: 1 if a budget is exceeded."""
    unknown = [name for name in names if name not in subjects]
    if unknown:
        print(f"There is no {', '.join(unknown)}; there are {', '.join(subjects)}", file=sys.stderr)
        return 2
    began = time.monotonic()
    found: list[Row] = []
    for name in names or subjects:
        print(f"{name} ({time.monotonic() - began:.0f} s)", flush=True)
        found += _measured(name, subjects[name])
    over = [row.what for row in found if not row.holds]
    print(f"\n{table(found)}\n\n{len(found) - len(over)} within budget, {len(over)} not; ", end="")
    print(f"{time.monotonic() - began:.0f} s in all")
    return 1 if over else 0


def _measured(name: str, rows: Callable[[], Sequence[Row]]) -> Sequence[Row]:
    """The rows of a subject; one that fails is a row too, and the others go on."""
    try:
        return rows()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and the exit code is 1
        traceback.print_exc()
        return [Row(name, "-", f"{type(error).__name__}", "-", holds=False, note=str(error))]
