"""What a service or a task says reaches a terminal as text: it steers nothing, and begins no line."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.client.scripted_service import TASK_ID, Reply, Service, outcome, problem, summary, task

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    Run = Callable[..., Result]

HOSTILE = "a\x1b[31m\x9b31m\u202e\u2066\u200f\u2028\u2029\x85\r\x7f\x00\x08\n\nforged: line\n\U000e0001z"
"""C0, C1, bidi controls, separators of lines, newlines, a tag."""
TARGET = f"/api/tasks/{TASK_ID}"
REASON = {"code": HOSTILE, "message": HOSTILE}
DELIVERY = {"status": HOSTILE, "attempts": 1, "next_at": None, "last_error": HOSTILE}
TRY = {"at": "2026-01-02T03:04:06.000Z", "duration_seconds": 1, "by": HOSTILE, "http_status": 500, "error": HOSTILE}
TASK = task(
    "failed",
    task_type=HOSTILE,
    error=REASON,
    progress_message=HOSTILE,
    waiting_reason=REASON,
    delivery=DELIVERY,
    result_url=HOSTILE,
    attempts=[{"attempt": 1, "ended_at": "2026-01-02T03:04:06.000Z", "reason": REASON}],
)
TYPE = {
    "name": HOSTILE,
    "description": HOSTILE.replace("\n", " "),
    "input_schema": {HOSTILE: HOSTILE},
    "example": {HOSTILE: HOSTILE},
}


@pytest.fixture(autouse=True)
def answers(service: Service) -> None:
    service.on("GET", TARGET, Reply(body=TASK))
    service.on("DELETE", TARGET, Reply(body=TASK))
    service.on("GET", TARGET + "/result", Reply(body=outcome("failed", error=REASON)))
    written = {"attempt": 1, "output": HOSTILE, "truncated": True, "complete": True, "note": HOSTILE}
    named = {"task_id": HOSTILE, "task_type": HOSTILE, "task_status": HOSTILE}
    service.on("GET", TARGET + "/log", Reply(body=named | {"attempts": [written]}))
    service.on("POST", TARGET + "/redeliver", Reply(202, body=TASK))
    service.on("GET", TARGET + "/deliveries", Reply(body=DELIVERY | {"last_answer": HOSTILE, "tries": [TRY]}))
    service.on("POST", "/api/tasks", Reply(202, {"task": TASK, "queue_position": 1}))
    service.on("GET", "/api/task-types", Reply(body=[TYPE]))
    one = summary() | {"task_id": HOSTILE, "task_type": HOSTILE, "task_status": HOSTILE}
    dead = {"task_id": HOSTILE, "task_type": HOSTILE, "task_status": HOSTILE, "finished_at": None, "delivery": DELIVERY}
    service.on("GET", "/api/tasks", Reply(body=[one]))
    service.on("GET", "/api/deliveries?status=dead", Reply(body=[dead | {"result_url": HOSTILE}]))


def assert_harmless(text: str, *, lines: bool = True) -> None:
    assert text.strip()
    for line in text.split("\n"):
        assert line.isprintable(), ascii(line)
        assert not (lines and line.startswith("forged"))


COMMANDS = [
    ("get", TASK_ID),
    ("get", TASK_ID, "--json"),
    ("cancel", TASK_ID),
    ("result", TASK_ID),
    ("result", TASK_ID, "--wait"),
    ("list",),
    ("list", "--json"),
    ("deliveries", TASK_ID),
    ("deliveries",),
    ("redeliver", TASK_ID),
    ("submit", "x", "--wait"),
    ("submit", "x"),
    ("types",),
    ("types", "--json"),
    ("types", "nothing"),
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_no_command_prints_it_raw(run: Run, service: Service, arguments: tuple[str, ...]) -> None:
    ended = run(*arguments)
    assert ended.exception is None or isinstance(ended.exception, SystemExit)
    assert not any("Nothing is scripted" in text for text in (ended.stdout, ended.stderr))
    assert_harmless(ended.stdout + ended.stderr, lines="--json" not in arguments)


def test_a_type_is_shown_harmlessly(run: Run, service: Service) -> None:
    service.on("GET", "/api/task-types", Reply(body=[TYPE | {"name": "one"}]))
    assert_harmless(run("types", "one").stdout, lines=False)


@pytest.mark.parametrize("status", [400, 404, 409, 429, 503])
def test_a_problem_is_one_line_for_each_fault(run: Run, service: Service, status: int) -> None:
    faults = [{"pointer": HOSTILE, "detail": HOSTILE}] * 2
    service.on("GET", TARGET, problem(status, HOSTILE, HOSTILE, {"Retry-After": "0"}, errors=faults))
    ended = run("get", TASK_ID)
    assert_harmless(ended.stderr)
    shown = [line for line in ended.stderr.splitlines() if "forged" in line]
    assert len(shown) == 3


def test_a_result_keeps_its_value_and_its_letters(run: Run, service: Service) -> None:
    value = {HOSTILE: [HOSTILE, "größer 😀 日本"]}
    service.on("GET", TARGET + "/result", Reply(body=outcome(result=value)))
    shown = run("result", TASK_ID).stdout
    assert_harmless(shown)
    assert json.loads(shown) == value
    assert "größer 😀 日本" in shown


def raw_outcome() -> bytes:
    body = json.loads(outcome(result=HOSTILE + "größer"))
    return json.dumps(body, ensure_ascii=False).encode()


def test_a_result_in_json_is_byte_for_byte_where_no_terminal_is(run: Run, service: Service) -> None:
    service.on("GET", TARGET + "/result", Reply(body=raw_outcome()))
    assert run("result", TASK_ID, "--json").stdout_bytes == raw_outcome() + b"\n"


@pytest.mark.parametrize("option", ["--json", None])
def test_a_real_terminal(service: Service, option: str | None) -> None:
    service.on("GET", TARGET + "/result", Reply(body=raw_outcome()))
    ours, theirs = pty.openpty()
    command = [Path(sys.executable).with_name("taskpost"), "result", TASK_ID, *([option] if option else [])]
    process = subprocess.Popen(
        command,
        stdout=theirs,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"TASKPOST_URL": service.url, "PYTHONUTF8": "1"},
    )
    os.close(theirs)
    shown = _all_of(ours)
    assert process.wait(30) == 0
    text = shown.decode().replace("\r\n", "\n")
    assert_harmless(text)
    value: Any = json.loads(text)
    assert (value["result"] if option else value) == HOSTILE + "größer"
    assert "größer" in text


def _all_of(descriptor: int) -> bytes:
    parts = []
    while True:
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(descriptor)
    return b"".join(parts)
