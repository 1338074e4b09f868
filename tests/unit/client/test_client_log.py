"""The log of a task: in Python, on the command line, and under the error of a task that failed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from taskpost.cli import logs

from tests.unit.client.scripted_service import TASK_ID, Reply, Service, outcome, problem, task
from tests.unit.client.test_client_terminal import HOSTILE, assert_harmless

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result
    from taskpost import Client

    Run = Callable[..., Result]

TARGET = f"/api/tasks/{TASK_ID}"
ERROR = {"code": "task_error", "message": "ValueError: no (acme.py, line 3)"}


def attempt(number: int = 1, output: str = "", **more: Any) -> dict[str, Any]:
    fixed = {"attempt": number, "output": output, "truncated": False, "complete": True, "note": None}
    return fixed | more


def log(*attempts: dict[str, Any], status: str = "failed") -> Reply:
    named = {"task_id": TASK_ID, "task_type": "fibonacci", "task_status": status}
    return Reply(body=named | {"attempts": list(attempts)})


@pytest.fixture(autouse=True)
def answers(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "PAUSE_SECONDS", 0.001)
    service.on("POST", "/api/tasks", Reply(202, {"task": task(), "queue_position": 1}))
    service.on("GET", TARGET, Reply(body=task("failed", error=ERROR)))
    service.on("GET", TARGET + "/result", Reply(body=outcome("failed", error=ERROR)))


def test_the_library_has_what_the_service_tells(client: Client, service: Service) -> None:
    service.on(
        "GET", TARGET + "/log", log(attempt(1, "a\n", truncated=True), attempt(2, "b", complete=False, note="n"))
    )
    found = client.log(TASK_ID)
    assert (found.task_id, found.task_type, found.task_status, found.complete) == (
        TASK_ID,
        "fibonacci",
        "failed",
        False,
    )
    assert [(one.attempt, one.output, one.truncated, one.complete, one.note) for one in found.attempts] == [
        (1, "a\n", True, True, None),
        (2, "b", False, False, "n"),
    ]


def test_the_output_of_one_attempt_is_all_of_stdout(run: Run, service: Service) -> None:
    service.on("GET", TARGET + "/log", log(attempt(1, "one\n\ttwo\r\nthree")))
    ended = run("log", TASK_ID)
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "one\n\ttwo\nthree\n", "")


def test_of_several_attempts_each_has_a_heading(run: Run, service: Service) -> None:
    service.on("GET", TARGET + "/log", log(attempt(1, "one\n"), attempt(3, "three\n")))
    assert run("log", TASK_ID).stdout == "==> attempt 1 <==\none\n==> attempt 3 <==\nthree\n"


def test_what_is_missing_is_told_on_stderr(run: Run, service: Service) -> None:
    service.on("GET", TARGET + "/log", log(attempt(1, "x\n", truncated=True, complete=False, note="Its pod\nwas gone")))
    ended = run("log", TASK_ID)
    assert ended.stdout == "x\n"
    assert [word in ended.stderr for word in ("more before this", "Its pod\\nwas gone", "so far")] == [True] * 3


@pytest.mark.parametrize("attempts", [[], [attempt()]])
def test_a_task_that_has_written_nothing_says_so(run: Run, service: Service, attempts: list[Any]) -> None:
    service.on("GET", TARGET + "/log", log(*attempts, status="queued"))
    ended = run("log", TASK_ID)
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "", "The task is queued and has written nothing.\n")


def test_in_json_it_is_the_service_s_answer(run: Run, service: Service) -> None:
    service.on("GET", TARGET + "/log", log(attempt(1, HOSTILE)))
    ended = run("log", TASK_ID, "--json")
    assert json.loads(ended.stdout)["attempts"][0]["output"] == HOSTILE
    assert_harmless(ended.stdout, lines=False)


@pytest.mark.parametrize(
    "output", [HOSTILE, HOSTILE * 2000, "x" * 70_000, "50 %\r100 %\r" * 500, "\x1b]0;title\x07" * 99]
)
def test_whatever_was_written_steers_no_terminal(run: Run, service: Service, output: str) -> None:
    service.on("GET", TARGET + "/log", log(attempt(1, output, note=HOSTILE), status=HOSTILE))
    ended = run("log", TASK_ID)
    assert_harmless(ended.stdout + ended.stderr, lines=False)
    waited = run("submit", "fibonacci", "--wait")
    assert_harmless(waited.stderr)
    assert len(waited.stderr) < 2 * logs.TAIL_CHARACTERS + 1000


def test_what_a_progress_bar_wrote_over_is_shown(run: Run, service: Service) -> None:
    service.on("GET", TARGET + "/log", log(attempt(1, " 50 %\r100 %\n")))
    assert run("log", TASK_ID).stdout == " 50 %\n100 %\n"


@pytest.mark.parametrize("command", [("submit", "fibonacci", "--wait"), ("result", TASK_ID, "--wait")], ids=" ".join)
def test_waiting_for_a_task_that_fails_prints_the_end_of_its_log(
    run: Run, service: Service, command: tuple[str, ...]
) -> None:
    lines = [f"line {number}" for number in range(100)]
    unsettled = log(attempt(2, "half", complete=False))
    service.on("GET", TARGET + "/log", unsettled, log(attempt(1, "another\n"), attempt(2, "\n".join(lines))))
    ended = run(*command)
    assert (ended.exit_code, ended.stdout) == (1, "")
    shown = ended.stderr.splitlines()
    assert "ValueError: no (acme.py, line 3)" in ended.stderr
    assert shown[-30:] == [f"  {line}" for line in lines[-30:]]
    assert f"taskpost log {TASK_ID}" in shown[-31]
    assert "another" not in ended.stderr and "half" not in ended.stderr


def test_in_json_no_log_is_printed(run: Run, service: Service) -> None:
    service.on("GET", TARGET + "/log", log(attempt(1, "x\n")))
    ended = run("submit", "fibonacci", "--wait", "--json")
    assert json.loads(ended.stdout)["status"] == "failed"
    assert f"GET {TARGET}/log" not in service.targets()


@pytest.mark.parametrize(
    "answer", [problem(404, "not_found", "There is nothing at this path."), problem(503, "unavailable", "No."), log()]
)
def test_without_a_log_the_error_is_told_all_the_same(run: Run, service: Service, answer: Reply) -> None:
    service.on("GET", TARGET + "/log", answer)
    ended = run("submit", "fibonacci", "--wait")
    assert ended.exit_code == 1
    assert ended.stderr.splitlines()[-1].endswith("ValueError: no (acme.py, line 3) (task_error)")


def test_a_log_that_is_never_settled_is_not_waited_for_for_ever(
    run: Run, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "SETTLE_SECONDS", 0.01)
    service.on("GET", TARGET + "/log", log(attempt(1, "so far\n", complete=False)))
    assert run("submit", "fibonacci", "--wait").stderr.endswith("  so far\n")


def test_a_task_that_does_not_exist_is_told_of(run: Run, service: Service) -> None:
    service.on("GET", TARGET + "/log", problem(404, "task_not_found", f"Task {TASK_ID} does not exist."))
    ended = run("log", TASK_ID)
    assert (ended.exit_code, ended.stderr) == (1, f"Error: Task {TASK_ID} does not exist.\n")
