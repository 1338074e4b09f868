"""`make bench`: every budget of the design's section 12 that needs no cluster, each beside its floor.

`python -m tests.benchmarks NAME...` runs some only. The exit code is 1 if a budget is exceeded.
"""

from __future__ import annotations

import sys

from tests.benchmarks import functions, latency, listing, memory, redis_bytes, runner_start, submit
from tests.benchmarks.report import report

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


if __name__ == "__main__":
    sys.exit(report(SUBJECTS, sys.argv[1:]))
