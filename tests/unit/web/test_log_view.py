"""How the log of a task looks to clients."""

from __future__ import annotations

import json

import pytest

from api.core.log_tail import LogTail
from api.queue.logs import StoredLog
from api.web.log_view import log_view
from api.web.representation import json_bytes
from runner.contract import State


def stored(attempts=None, *, state=State.FAILED, attempt=2, unfinished=False, dropped=False):
    return StoredLog(state, "sleep", attempt, unfinished, attempts or {}, dropped)


def view(log, running=None, *, keeps_logs=True):
    return log_view("id", log, running, keeps_logs=keeps_logs)["attempts"]


def test_attempts_are_in_order_with_what_is_to_be_known_of_each():
    log = stored({2: LogTail(b"b", truncated=True), 1: LogTail(b"a", note="why")})
    assert log_view("id", log, None, keeps_logs=True) == {
        "task_id": "id",
        "task_type": "sleep",
        "task_status": "failed",
        "attempts": [
            {"attempt": 1, "output": "a", "truncated": False, "complete": True, "note": "why"},
            {"attempt": 2, "output": "b", "truncated": True, "complete": True, "note": None},
        ],
    }


def test_before_the_first_attempt_there_is_nothing():
    assert view(stored(attempt=0, state=State.QUEUED)) == []


def test_the_newest_attempt_is_there_though_it_wrote_nothing():
    (attempt,) = view(stored())
    assert attempt == {"attempt": 2, "output": "", "truncated": False, "complete": True, "note": None}


def test_what_an_attempt_that_runs_has_written_so_far_is_shown_as_that():
    log = stored({1: LogTail(b"a")}, state=State.RUNNING, unfinished=True)
    first, second = view(log, LogTail(b"so far"))
    assert (first["output"], first["complete"]) == ("a", True)
    assert (second["output"], second["complete"]) == ("so far", False)
    (only,) = view(stored(state=State.STARTING, attempt=1, unfinished=True), LogTail())
    assert (only["output"], only["complete"]) == ("", False)


def test_what_was_kept_before_a_stop_is_better_than_what_can_not_be_read_any_more():
    log = stored({2: LogTail(b"kept", note="read before")}, state=State.CANCELLED, unfinished=True)
    (attempt,) = view(log, LogTail(note="its pod was gone"))
    assert (attempt["output"], attempt["note"], attempt["complete"]) == ("kept", "read before", False)


def test_why_there_is_nothing_is_told():
    assert "no longer kept" in view(stored(dropped=True))[0]["note"]
    assert "RETENTION_LOG_MAX_BYTES is 0" in view(stored(), keeps_logs=False)[0]["note"]
    assert view(stored({2: LogTail(b"x")}, dropped=True))[0]["note"] is None


def test_without_a_bound_for_logs_those_that_were_kept_before_are_not_shown():
    log = stored({1: LogTail(b"secret"), 2: LogTail(b"secret", note="secret")}, state=State.RUNNING, unfinished=True)
    (attempt,) = view(log, keeps_logs=False)
    assert (attempt["attempt"], attempt["output"]) == (2, "")
    assert "RETENTION_LOG_MAX_BYTES is 0" in attempt["note"]


@pytest.mark.parametrize("data", [bytes(range(256)), b"\xed\xa0\x80", b"\xff" * 10, "€".encode()[:2]])
def test_whatever_bytes_there_are_the_answer_is_json(data):
    (attempt,) = json.loads(json_bytes(log_view("id", stored({2: LogTail(data)}), None, keeps_logs=True)))["attempts"]
    assert attempt["output"] == data.decode("utf-8", "replace")
