"""How long a delivery attempt may take, by what it has sent and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.delivery.deadline import MIN_BYTES_PER_SECOND, UNSEEN_BYTES, allowed_seconds, longest_seconds

MEGABYTE = 1_000_000


def steady(rate: int, body_bytes: int, timeout_seconds: float = 15) -> bool:
    """Whether a body is taken whole by a receiver that takes so many bytes every second."""
    sent, now = 0, 0.0
    while sent < body_bytes:
        now += 1
        if now > allowed_seconds(timeout_seconds, sent, max(0.0, now - 1)):
            return False
        sent = min(body_bytes, sent + rate)
    return True


def test_a_slow_line_has_time_and_a_receiver_that_trickles_has_not():
    assert steady(400_000, 8 * MEGABYTE)
    assert steady(MIN_BYTES_PER_SECOND, 256 * MEGABYTE)
    assert not steady(1, 8 * MEGABYTE)
    assert not steady(MIN_BYTES_PER_SECOND // 2, 8 * MEGABYTE)


@pytest.mark.parametrize("body_bytes", [0, 1, 300])
def test_a_small_body_has_the_timeout_and_nothing_more(body_bytes):
    assert longest_seconds(15, body_bytes) == pytest.approx(15, abs=0.01)


def test_who_takes_everything_at_once_and_never_answers_is_given_up_soon():
    assert allowed_seconds(15, 256 * MEGABYTE, 1) == 1 + 15 + UNSEEN_BYTES / MIN_BYTES_PER_SECOND


@given(st.integers(0, 2**30), st.integers(0, 2**30), st.floats(0, 1e6), st.floats(0.1, 60))
def test_no_attempt_takes_longer_than_what_a_lease_is_told(body_bytes, sent_bytes, last_seconds, timeout_seconds):
    allowed = allowed_seconds(timeout_seconds, min(sent_bytes, body_bytes), last_seconds)
    assert allowed <= longest_seconds(timeout_seconds, body_bytes)
