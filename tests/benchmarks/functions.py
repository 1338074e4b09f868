"""The computations themselves, called in this process, beside the same work without input model and progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gmpy2

from runner.tasks import Progress
from runner.tasks.prime_numbers import odd_primes
from runner.tasks.registry import find
from tests.benchmarks.measure import Row, in_turns, milliseconds, seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 7
BUDGET = 1.25
N = 10**7
LIMIT = 10**8


def rows() -> list[Row]:
    return [
        _row("fibonacci of 10^7", lambda: gmpy2.fib(N).digits(), "fibonacci", {"n": N}),
        _row("prime_numbers to 10^8, count", _bare_sieve, "prime_numbers", {"limit": LIMIT}),
    ]


def _bare_sieve() -> int:
    return 1 + sum(flags.count(1) for _, flags in odd_primes(LIMIT))


def _row(what: str, floor: Callable[[], object], name: str, task_input: dict[str, Any]) -> Row:
    task_type = find(name)
    assert task_type is not None
    heard: list[float] = []

    def ours() -> None:
        task_type.function(task_type.parse(task_input), Progress(heard.append))

    pairs = in_turns(ROUNDS, lambda: seconds_of(floor), lambda: seconds_of(ours))
    assert heard, "there was progress"
    return Row(
        what,
        milliseconds(pairs.floor),
        f"{milliseconds(pairs.measured)} ({pairs.ratio:.2f}x)",
        f"<= {BUDGET:g}x",
        pairs.ratio <= BUDGET,
    )
