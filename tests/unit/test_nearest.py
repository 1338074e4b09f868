"""The right name that a wrong one was meant to be."""

from __future__ import annotations

import time

import pytest

from api.nearest import MOST_COMPARED, nearest, suggestion

CODES = ("cancelled", "crashed", "lost", "out_of_memory", "timed_out")


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("crashd", "crashed"),
        ("CRASHED", "crashed"),
        ("outOfMemory", "out_of_memory"),
        ("out-of-memroy", "out_of_memory"),
        ("time_out", "timed_out"),
        ("canceled", "cancelled"),
        ("", None),
        ("xyzzy", None),
        ("crashed" * 50, None),
    ],
)
def test_the_nearest_name(wrong, right):
    assert nearest(wrong, CODES) == right


def test_what_is_suggested():
    assert suggestion("crashd", CODES) == "did you mean crashed?"
    assert suggestion("xyzzy", CODES) == "allowed: cancelled, crashed, lost, out_of_memory, timed_out"
    assert suggestion("xyzzy", [f"a{number}" for number in range(30)]).endswith(", ...")
    assert suggestion("xyzzy", []) == "nothing is allowed here"


def test_a_stranger_s_name_is_compared_with_few():
    names = [f"type-number-{number}" for number in range(20_000)]
    begin = time.process_time()
    assert nearest("type-number-x", names) is None
    assert time.process_time() - begin < 0.1
    assert nearest("type-number-x", names[:MOST_COMPARED]) is not None
