"""CPU of a runner from exec to its first progress, beside `import redis`."""

from __future__ import annotations

from tests.benchmarks.measure import Row, in_turns, milliseconds
from tests.benchmarks.runner_process import run_runner
from tests.benchmarks.usage import usage_of_python
from tests.support.valkey import ValkeyServer

ROUNDS = 15
BUDGET = 2.0


def rows() -> list[Row]:
    with ValkeyServer() as server:
        pairs = in_turns(
            ROUNDS, lambda: usage_of_python("import redis").cpu_seconds, lambda: run_runner(server.url).result
        )
    return [
        Row(
            "runner: CPU from exec to first progress",
            milliseconds(pairs.floor),
            f"{milliseconds(pairs.measured)} ({pairs.ratio:.2f}x)",
            f"<= {BUDGET:g}x",
            pairs.ratio <= BUDGET,
        )
    ]
