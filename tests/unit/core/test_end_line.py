"""The line of the log about the end of a task: one, with its times, and with code and message if it failed."""

from __future__ import annotations

import logging

import pytest

from api.core.end_line import end_facts
from api.core.task import Reason, task_from_record
from api.logs import JsonFormatter, TextFormatter
from api.queue.conclude import log_end
from runner.contract import State

RECORD = {"type": "sleep", "priority": "0", "attempt": "2", "created": "1000", "timeout": "1"}


def ended(state, **fields):
    times = {"started": "1500", "finished": "4250"}
    return task_from_record("id", RECORD | times | {"state": state} | fields, None, None)


@pytest.fixture
def line_of(caplog):
    caplog.set_level(logging.INFO)

    def line_of(task, formatter):
        log_end(task)
        (record,) = caplog.records
        return formatter.format(record)

    return line_of


def test_a_finished_task_is_one_line_with_its_times(line_of):
    assert line_of(ended(State.DONE), TextFormatter()).split(" ", 1)[1] == (
        "INFO    task_done task_id=id task_type=sleep attempt=2 waited_seconds=0.5 ran_seconds=2.75"
    )


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_a_failed_task_is_one_line_with_code_and_message(line_of, formatter):
    failed = ended(State.FAILED, error_code="task_error", error_message="ValueError: a\nb\x1b[31m (x.py, line 3)")
    line = line_of(failed, formatter)
    assert "\n" not in line and "\x1b" not in line
    assert "task_failed" in line and "warning" in line.lower()
    assert "task_error" in line and "(x.py, line 3)" in line and "2.75" in line


def test_a_cancelled_task_that_never_began_has_waited_only(line_of):
    cancelled = task_from_record("id", RECORD | {"state": "cancelled", "finished": "3000"}, None, None)
    assert "INFO    task_cancelled" in line_of(cancelled, TextFormatter())
    facts = end_facts(cancelled)
    assert (facts["waited_seconds"], facts["ran_seconds"]) == (2.0, None)
    assert "code" not in facts


def test_what_was_recorded_is_not_changed():
    failed = ended(State.FAILED, error_code="lost", error_message="gone")
    assert end_facts(failed)["reason"] == failed.error.message
    assert failed.error == Reason("lost", "gone")


def test_a_clock_that_was_set_back_gives_no_negative_times():
    facts = end_facts(ended(State.DONE, started="900", finished="800"))
    assert (facts["waited_seconds"], facts["ran_seconds"]) == (0.0, 0.0)
