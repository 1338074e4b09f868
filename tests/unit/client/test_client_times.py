"""Spans of time for people: short enough for a column, and never negative."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskpost.cli.options import Span
from taskpost.cli.times import age, ago, clock, span

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (0.04, "0.0s"), (0.25, "0.2s"), (9.4, "9.4s"), (42, "42s"), (42.9, "42s"), (60, "1m"),
        (192, "3m12s"), (599, "9m59s"), (600, "10m"), (3600, "1h"), (3660, "1h1m"), (86_399, "23h"), (86_400, "1d"),
        (90_000, "1d1h"), (40 * 86_400, "40d"), (20 * 365 * 86_400, "7300d"), (2025 * 365 * 86_400, "2025y"),
    ],
)  # fmt: skip
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text


@given(st.one_of(st.integers(0, 300_000_000_000), st.floats(0, 3e11)))
def test_a_span_fits_its_column(seconds: float) -> None:
    assert len(span(seconds)) <= 5


@pytest.mark.parametrize(
    ("ahead", "text"),
    [(-300, " (5m ago)"), (0, " (0s ago)"), (300, " (in 5m)"), (0.5, " (0s ago)")],
)
def test_how_far_a_time_is_away(ahead: float, text: str) -> None:
    assert ago(NOW + timedelta(seconds=ahead), NOW) == text


def test_no_time() -> None:
    assert (age(None), ago(None), clock(None)) == ("-", "", "-")


def test_a_clock_is_read_back() -> None:
    assert datetime.fromisoformat(clock(NOW)) == NOW


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("2m", 120),
        ("1h30m", 5400),
        ("1.5m", 90),
        ("250ms", 0.25),
        (" 2m ", 120),
        ("1d", 86_400),
    ],
)
def test_a_span_is_read(text: str, seconds: float) -> None:
    assert Span().convert(text, None, None) == seconds
