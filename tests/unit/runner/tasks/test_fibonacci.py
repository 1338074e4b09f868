"""The task type fibonacci: exact for every n, also past the 4300 digits where `str(int)` ends (case P03)."""

from itertools import pairwise

import gmpy2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.tasks import Progress
from runner.tasks.fibonacci import FibonacciInput, fibonacci


def _run(n: int) -> tuple[dict[str, object], list[float]]:
    percents: list[float] = []
    return fibonacci(FibonacciInput(n=n), Progress(percents.append)), percents


@pytest.mark.parametrize(
    ("n", "value"),
    [(0, "0"), (1, "1"), (2, "1"), (3, "2"), (93, "12200160415121876738"), (94, "19740274219868223167")],
)
def test_known_values(n: int, value: str) -> None:
    assert _run(n)[0] == {"n": n, "digits": len(value), "value": value}


@pytest.mark.parametrize(("n", "digits"), [(20_577, 4_300), (20_578, 4_301), (10**6, 208_988)])
def test_exact_past_the_limit_of_int_to_str(n: int, digits: int) -> None:
    assert _run(n)[0] == {"n": n, "digits": digits, "value": gmpy2.fib(n).digits()}


@given(st.integers(0, 5_000))
def test_agrees_with_gmpy2(n: int) -> None:
    assert _run(n)[0]["value"] == gmpy2.fib(n).digits()


def test_progress_rises_with_the_work() -> None:
    percents = _run(10**6)[1]
    assert len(percents) > 5
    assert all(0 < percent < 20 for percent in percents), "most of the time goes into the digits, which come last"
    assert all(later > 2 * earlier for earlier, later in pairwise(percents))
