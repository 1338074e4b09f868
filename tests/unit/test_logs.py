"""A line of the log: an event, and the facts beside it."""

from __future__ import annotations

import json
import logging

import pytest

from api.logs import JsonFormatter, TextFormatter, set_up_logs


def record(**facts):
    return logging.makeLogRecord({"msg": "task_began", "levelno": 20, "levelname": "INFO", "created": 0.5} | facts)


def test_json_lines():
    line = json.loads(JsonFormatter().format(record(task_id="id", number=2)))
    assert line == {
        "time": "1970-01-01T00:00:00.500Z",
        "level": "info",
        "event": "task_began",
        "task_id": "id",
        "number": 2,
    }


def test_text_lines():
    line = TextFormatter().format(record(task_id="id", error=None))
    assert line == "1970-01-01T00:00:00.500Z INFO    task_began task_id=id"


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_an_exception_is_told(formatter):
    error = ValueError("what was wrong")
    line = formatter.format(record(exc_info=(ValueError, error, None)))
    assert "ValueError: what was wrong" in line


HOSTILE = "a\x1b[31m\x9b\u202e\u2028\x85\r\x7f\n1970-01-01T00:00:00.500Z INFO    forged"


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_nothing_from_elsewhere_begins_a_line_or_steers_a_terminal(formatter):
    error = ValueError(HOSTILE)
    for line in (
        formatter.format(record(task_id=HOSTILE, reason=[HOSTILE])),
        formatter.format(record(msg="%s", args=(HOSTILE,))),
        formatter.format(record(exc_info=(ValueError, error, None))),
    ):
        assert line.replace("\n", "").isprintable()
        assert sum(one.startswith("1970") for one in line.splitlines()) <= 1
        assert sum(one.endswith("forged") and one.startswith("1970") for one in line.splitlines()[1:]) == 0


@pytest.mark.parametrize(("log_format", "formatter"), [("json", JsonFormatter), ("text", TextFormatter)])
def test_set_up(log_format, formatter):
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        set_up_logs("warning", log_format)
        assert isinstance(root.handlers[0].formatter, formatter)
        assert root.level == logging.WARNING
    finally:
        root.handlers[:] = before
        root.setLevel(level)
