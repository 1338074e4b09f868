"""The task type sleep: it waits, and says how far it is."""

import time
from itertools import pairwise

import pytest

from runner.tasks.registry import find
from runner.tasks.sleep import SleepInput, sleep


@pytest.mark.parametrize("seconds", [0, 0.01, 0.3])
def test_waits_as_long_as_asked(seconds: float) -> None:
    percents: list[float] = []
    start = time.monotonic()
    result = sleep(SleepInput(seconds=seconds), percents.append)  # type: ignore[arg-type]
    assert time.monotonic() - start >= seconds
    assert result == {"slept_seconds": seconds}
    assert percents == sorted(percents)
    assert all(0 <= percent < 100 for percent in percents)


def test_says_how_far_it_is_a_few_times_a_second() -> None:
    """Never more often; a machine that is busy may wake it later, and then it says less."""
    percents: list[float] = []
    sleep(SleepInput(seconds=0.6), percents.append)  # type: ignore[arg-type]
    assert 1 <= len(percents) <= 3
    assert percents == sorted(percents)
    assert all(later - earlier >= 40 for earlier, later in pairwise(percents))


@pytest.mark.parametrize(("seconds", "timeout"), [(0, 60), (0.5, 60.5), (86_400, 86_460)])
def test_may_run_a_minute_longer_than_its_sleep(seconds: float, timeout: float) -> None:
    found = find("sleep")
    assert found
    assert found.default_timeout_seconds({"seconds": seconds}) == timeout <= found.max_timeout_seconds
