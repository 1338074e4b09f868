"""Progress: only rises, within 0..100, and takes whatever a function says."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.tasks import Progress


@pytest.mark.parametrize(
    ("told", "passed_on"),
    [
        ([], []),
        ([0, 0.0, -1, -math.inf, -(10**400)], []),
        ([math.nan, 5, math.nan], [5]),
        ([10, 5, 10, 10.1], [10, 10.1]),
        ([99.95, 100, 100, 250, 1], [99.95, 100]),
        ([250], [100]),
        ([math.inf], [100]),
        ([10**400], [100]),
    ],
)
def test_passes_on_what_rises(told: list[float], passed_on: list[float]) -> None:
    seen: list[float] = []
    progress = Progress(seen.append)
    for percent in told:
        progress(percent)
    assert seen == passed_on
    assert all(type(percent) is float for percent in seen)


@given(st.lists(st.floats() | st.integers()))
def test_rises_within_bounds_whatever_is_told(told: list[float]) -> None:
    seen: list[float] = []
    progress = Progress(seen.append)
    for percent in told:
        progress(percent)
    assert all(0 < percent <= 100 for percent in seen)
    assert all(earlier < later for earlier, later in pairwise(seen))


def test_what_the_sink_raises_comes_through() -> None:
    def sink(percent: float) -> None:
        raise ConnectionError(percent)

    with pytest.raises(ConnectionError):
        Progress(sink)(1)
