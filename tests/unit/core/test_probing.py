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


def test_one_whose_starts_fail_pauses_for_longer_each_time_and_then_one_is_tried():
    starts, types = Starts(), {"broken": None, "fine": 3}
    now, pauses = 100.0, []
    for _ in range(7):
        starts.failed("broken", "no webhook", began_seconds=now, now_seconds=now)
        end = starts.next_end(now)
        pauses.append(end - now)
        assert starts.limits(types, end - 0.01) == {"fine": 3}
        assert starts.limits(types, end) == types
        assert starts.limits(types, end, {"broken": 1}) == {"fine": 3}, "one at a time"
        now = end
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    assert starts.held(now)["broken"].code == "type_paused"
    assert "no webhook" in starts.held(now)["broken"].message
    assert starts.succeeded("broken")
    assert starts.limits(types, now, {"broken": 1}) == types
    assert starts.held(now) == {}


def test_starts_that_failed_together_count_once():
    starts = Starts()
    for number in range(8):
        starts.failed("broken", "no", began_seconds=1.0, now_seconds=2.0 + number / 10)
    assert starts.next_end(2.8) == 3.0


def test_while_a_start_is_not_answered_no_other_of_its_type_begins():
    starts, types = Starts(), {"slow": None}
    starts.unanswered("slow", "no answer", 1.0)
    assert starts.limits(types, 1.0, {"slow": 1}) == {}
    starts.failed("slow", "no answer", began_seconds=0.5, now_seconds=2.0)
    assert starts.limits(types, 2.5) == {}
    assert starts.limits(types, 3.0) == types


def test_no_more_of_a_type_are_started_side_by_side_than_its_share():
    assert Starts().limits({"one": None}, 0, {"one": 7}) == {"one": None}
    assert Starts().limits({"one": None}, 0, {"one": 8}) == {}


def test_a_type_that_exists_no_longer_is_forgotten():
    starts = Starts()
    starts.rest("gone", 10.0, "full")
    starts.failed("gone", "no", began_seconds=0, now_seconds=0)
    starts.note("gone", AttemptId("task", 1), 1, cannot_start=True)
    starts.limits({}, 0)
    assert starts.held(1) == {}
    assert starts.next_end(1) is None


def test_a_type_rests_while_others_go_on():
    starts = Starts()
    starts.rest("greedy", 10.0)
    types = {"greedy": 2, "fine": None}
    assert starts.limits(types, 9.9) == {"fine": None}
    assert starts.limits(types, 10.0) == types
