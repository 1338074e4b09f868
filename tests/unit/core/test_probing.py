"""A type whose newest attempts cannot start gets one slot."""

from __future__ import annotations

import pytest

from api.core.observation import AttemptId
from api.core.probing import Starts, slots_of_type


@pytest.mark.parametrize(
    ("limit", "newest", "slots"),
    [
        (None, [], None),
        (4, [True, True], 4),
        (None, [True, True, True], 1),
        (4, [True, True, True], 1),
        (0, [True, True, True], 0),
        (4, [True, False, True], 4),
    ],
)
def test_three_in_a_row_leave_one_slot(limit, newest, slots):
    assert slots_of_type(limit, newest) == slots


def test_the_newest_attempts_count_however_often_and_in_what_order_they_are_seen():
    starts = Starts()
    types = {"broken": None, "fine": 3}
    for _ in range(2):
        starts.note("broken", AttemptId("old", 1), 1, cannot_start=False)
        for number in (4, 2, 3):
            starts.note("broken", AttemptId(f"task{number}", 1), number, cannot_start=True)
        starts.note("fine", AttemptId("other", 1), 9, cannot_start=True)
        assert starts.limits(types, 0) == {"broken": 1, "fine": 3}
    starts.note("broken", AttemptId("task3", 1), 3, cannot_start=False)
    assert starts.limits(types, 0) == {"broken": None, "fine": 3}


def test_a_type_rests_while_others_go_on():
    starts = Starts()
    starts.rest("greedy", 10.0)
    types = {"greedy": 2, "fine": None}
    assert starts.limits(types, 9.9) == {"fine": None}
    assert starts.limits(types, 10.0) == types
