"""What a function may raise to say what the service should do, and what it may not."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import pytest

from runner.tasks import Fail, Retry


@pytest.mark.parametrize("seconds", [None, 0, 1.5, Decimal("1.5"), 365 * 86_400])
def test_a_pause(seconds):
    assert Retry(seconds).after_seconds == seconds


@pytest.mark.parametrize("seconds", ["rate limited", "30", dt.timedelta(seconds=30), True, -1, math.nan, 10**400])
def test_what_is_not_a_pause_is_named_with_the_right_form(seconds):
    with pytest.raises(
        ValueError, match=r'is not a number of seconds .* as in Retry\(message="rate limited"\)'
    ) as raised:
        Retry(seconds)
    assert len(str(raised.value)) < 300


def test_a_message_alone():
    asked = Retry(message="rate limited")
    assert (asked.after_seconds, str(asked)) == (None, "rate limited")


@pytest.mark.parametrize("code", ["Something went wrong", "", "a\n", "1a", "a" * 64, None, 3, b"no_text"])
def test_what_is_not_a_code_is_named_with_the_right_form(code):
    with pytest.raises(ValueError, match=r'is not a valid error code: .* as in Fail\("no_text", ') as raised:
        Fail(code, "a message")
    assert len(str(raised.value)) < 300


def test_a_code_of_the_service():
    with pytest.raises(ValueError, match="the code 'timed_out' is the service's own"):
        Fail("timed_out", "a message")
