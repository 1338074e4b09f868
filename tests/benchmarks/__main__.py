"""`make bench`: every budget of the design's section 12 that needs no cluster, each beside its floor.

`python -m tests.benchmarks NAME...` runs some only. The exit code is 1 if a budget is exceeded.
"""

from __future__ import annotations

import sys
import time
import traceback

from tests.benchmarks import functions, latency, listing, memory, redis_bytes, runner_start, submit
from tests.benchmarks.measure import Row, table

SUBJECTS = {
    "submit": submit.rows,
    "runner": runner_start.rows,
    "slot": latency.slot_rows,
    "callback": latency.callback_rows,
    "bytes": redis_bytes.rows,
    "page": listing.rows,
    "functions": functions.rows,
    "memory": memory.rows,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in SUBJECTS]
    if unknown:
        print(f"There is no {', '.join(unknown)}; there are {', '.join(SUBJECTS)}", file=sys.stderr)
        return 2
    began = time.monotonic()
    found: list[Row] = []
    for name in names or SUBJECTS:
        print(f"{name} ({time.monotonic() - began:.0f} s)", flush=True)
        found += measured(name)
    over = [row.what for row in found if not row.holds]
    print(f"\n{table(found)}\n\n{len(found) - len(over)} within budget, {len(over)} not; ", end="")
    print(f"{time.monotonic() - began:.0f} s in all")
    return 1 if over else 0


def measured(name: str) -> list[Row]:
    """The rows of a subject; one that fails is a row too, and the others go on."""
    try:
        return SUBJECTS[name]()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and the exit code is 1
        traceback.print_exc()
        return [Row(name, "-", f"{type(error).__name__}", "-", holds=False, note=str(error))]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
