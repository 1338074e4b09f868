"""`taskpost check` against a scripted service: what it says, what it waits for, and how it ends."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from taskpost.cli import check_task, checks

from tests.unit.client.scripted_service import TASK_ID, Reply, Service, problem, task

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    Run = Callable[..., Result]

TARGET = f"/api/tasks/{TASK_ID}"
GOOD = [
    {"name": "redis", "ok": True, "message": "Redis takes writes"},
    {"name": "leader", "ok": True, "message": "this service leads"},
    {"name": "jobs", "ok": True, "message": "the API server accepts a Job"},
]
NO_LEADER = {"name": "leader", "ok": False, "message": "no service leads"}
DELIVERED = {"status": "delivered", "attempts": 1, "next_at": None, "last_error": None}
PENDING = {"status": "pending", "attempts": 1, "next_at": None, "last_error": "the connection was refused"}
RECEIVER = "http://receiver.example/"


def found(*rows: dict[str, Any]) -> Reply:
    return Reply(body={"checks": rows})


def ended(status: str = "done", **changes: Any) -> Reply:
    times = {"started_at": "2026-01-02T03:04:06.000Z", "finished_at": "2026-01-02T03:04:06.250Z"}
    return Reply(body=task(status, task_type="sleep", result_url=RECEIVER, **(times | changes)))


@pytest.fixture(autouse=True)
def answers(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(check_task, "POLL_SECONDS", 0.001)
    service.on("GET", "/api/checks", found(*GOOD))
    service.on("GET", "/api/task-types", Reply(body=[{"name": "sleep"}, {"name": "mine", "example": {"a": 1}}]))
    service.on("POST", "/api/tasks", Reply(202, {"task": task(task_type="sleep"), "queue_position": 1}))
    service.on("GET", TARGET, ended(delivery=DELIVERED))
    service.on("DELETE", TARGET, Reply(body=task("cancelled")))


def marks(result: Result) -> list[tuple[str, str]]:
    return [(line.split()[1], line.split()[0]) for line in result.stdout.splitlines()]


def test_all_is_well(run: Run, service: Service) -> None:
    result = run("check", "--result-url", RECEIVER)

    assert result.exit_code == 0, result.output
    assert marks(result) == [(name, "ok") for name in ("service", "redis", "leader", "jobs", "image", "egress")]
    assert "a task of the type sleep is done: waited 0.322 s, ran 0.250 s" in result.stdout
    sent = next(asked.json for asked in service.asked if asked.method == "POST")
    assert sent == {
        "result_url": RECEIVER, "task_type": "sleep", "task_input": {"seconds": 0}, "priority": 100,
    }  # fmt: skip
    assert "DELETE" not in {asked.method for asked in service.asked}


def test_what_is_not_well_is_waited_for(run: Run, service: Service) -> None:
    waiting = {"code": "image", "message": "ErrImagePull"}
    service.on("GET", "/api/checks", problem(503, "unavailable", "Away."), found(GOOD[0], NO_LEADER), found(*GOOD))
    service.on(
        "GET",
        TARGET,
        Reply(body=task("starting", waiting_reason=waiting)),
        ended(delivery=DELIVERED),
        ended(delivery=PENDING),
        ended(delivery=DELIVERED),
    )

    result = run("check", "--wait=2m", "--result-url", RECEIVER)

    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines() == [
        "Waiting for service: Away.",
        "Waiting for leader: no service leads",
        f"Waiting for image: task {TASK_ID} is starting, ErrImagePull (image)",
        f"Waiting for egress: the callback to {RECEIVER} is pending: the connection was refused",
    ]


@pytest.mark.parametrize(
    ("reply", "name", "words"),
    [
        (found(GOOD[0], NO_LEADER, GOOD[2]), "leader", "no service leads"),
        (Reply(404, b"<html>"), "service", "does not know GET /api/checks"),
        (Reply(body=b"<html>"), "service", "not as a Taskpost service does"),
        (Reply(body={"checks": [{"name": "redis"}]}), "service", "not as a Taskpost service does"),
        (Reply(body={"checks": [{"name": "a", "ok": False, "message": "\x1b[2J\nok forged"}]}), "a", r"\x1b[2J\nok"),
    ],
)
def test_a_service_that_is_not_well(run: Run, service: Service, reply: Reply, name: str, words: str) -> None:
    service.on("GET", "/api/checks", reply)

    result = run("check")

    assert result.exit_code == (3 if name == "service" else 1)
    assert (name, "failed") in marks(result)
    assert words in result.stdout
    assert "POST" not in {asked.method for asked in service.asked}


def test_the_time_to_wait_is_over(run: Run, service: Service) -> None:
    service.on("GET", "/api/checks", found(NO_LEADER))
    result = run("check", "--wait", "30ms")
    assert result.exit_code == 1
    assert marks(result) == [("service", "ok"), ("leader", "failed")]


def test_a_service_that_does_not_answer(run: Run, dead_url: str) -> None:
    result = run("check", "--wait", "1s", "--url", dead_url)
    assert result.exit_code == 3
    assert marks(result) == [("service", "failed")]
    assert f"Waiting for service: No Taskpost service answers at {dead_url}" in result.stderr


def test_a_service_that_takes_its_time_gets_no_more_than_there_is(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        result = run("check", "--wait", "1s", "--url", f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert result.exit_code == 3
    assert time.monotonic() - began < 10


def test_a_password_is_not_shown(run: Run, dead_url: str) -> None:
    url = dead_url.replace("//", "//user:hush@")
    for arguments in (
        ("check", "--url", url),
        ("list", "--url", url),
        ("list", "--url", url + ":9"),
        ("list", "--json"),
    ):
        result = run(*arguments, url=url)
        assert result.exit_code in {2, 3}
        assert "hush" not in result.output
        assert "user:***@" in result.output


def test_a_url_that_is_none_is_not_waited_for(run: Run) -> None:
    result = run("check", "--wait", "1h", "--url", "localhost")
    assert result.exit_code == 2


def test_a_task_that_does_not_end_is_cancelled(run: Run, service: Service) -> None:
    waiting = {"code": "cannot_start", "message": "Back-off pulling image"}
    service.on("GET", TARGET, Reply(body=task("starting", waiting_reason=waiting)))

    result = run("check", "--wait", "50ms", "--result-url", RECEIVER)

    assert result.exit_code == 1
    assert ("image", "failed") in marks(result)
    assert "the time is over, and task" in result.stdout
    assert "Back-off pulling image" in result.stdout
    assert service.targets()[-1] == f"DELETE {TARGET}"


def test_a_task_that_fails(run: Run, service: Service) -> None:
    service.on("GET", TARGET, ended("failed", error={"code": "lost", "message": "It was lost."}))
    result = run("check", "--result-url", RECEIVER)
    assert result.exit_code == 1
    assert f"task {TASK_ID} is failed: It was lost. (lost)" in result.stdout


@pytest.mark.parametrize("status", ["dead", "blocked"])
def test_a_callback_that_is_given_up(run: Run, service: Service, status: str) -> None:
    service.on("GET", TARGET, ended(delivery=PENDING | {"status": status}))
    result = run("check", "--result-url", RECEIVER)
    assert result.exit_code == 1
    assert ("egress", "failed") in marks(result)
    assert f"is {status}: the connection was refused" in result.stdout


def test_a_receiver_of_our_own_is_the_default(run: Run, service: Service) -> None:
    """The scripted service says that it delivered, and nothing came."""
    result = run("check")
    sent = next(asked.json for asked in service.asked if asked.method == "POST")
    assert sent["result_url"].startswith("http://127.0.0.1:")
    assert "arrived, but not at this machine" in result.stdout


def test_a_machine_that_may_not_be_called_skips_that(run: Run, service: Service) -> None:
    errors = [{"pointer": "/result_url", "detail": "127.0.0.1 is a loopback address"}]
    accepted = Reply(202, {"task": task(task_type="sleep"), "queue_position": 1})
    service.on("POST", "/api/tasks", problem(400, "invalid_request", "No.", errors=errors), accepted)

    result = run("check")

    assert result.exit_code == 0
    assert marks(result)[-1] == ("egress", "skipped")
    assert "127.0.0.1 is a loopback address" in result.stdout
    assert "--result-url" in result.stdout


def test_a_receiver_that_is_refused_and_was_named_fails(run: Run, service: Service) -> None:
    errors = [{"pointer": "/result_url", "detail": "not allowed"}]
    service.on("POST", "/api/tasks", problem(400, "invalid_request", "The task is not valid.", errors=errors))
    result = run("check", "--result-url", RECEIVER)
    assert result.exit_code == 1
    assert "not allowed" in result.stdout


def test_another_type_runs_with_its_example(run: Run, service: Service) -> None:
    assert run("check", "--type", "mine", "--result-url", RECEIVER).exit_code == 0
    sent = next(asked.json for asked in service.asked if asked.method == "POST")
    assert (sent["task_type"], sent["task_input"]) == ("mine", {"a": 1})

    wrong = run("check", "--type", "mina", "--result-url", RECEIVER)
    assert wrong.exit_code == 1
    assert "Task type 'mina' does not exist. Did you mean 'mine'? The service offers: sleep, mine." in wrong.stdout


def test_json(run: Run, service: Service) -> None:
    told = json.loads(run("check", "--json", "--result-url", RECEIVER).stdout)
    assert told["ok"]
    assert [one["name"] for one in told["checks"]] == ["service", "redis", "leader", "jobs", "image", "egress"]
    assert {one["status"] for one in told["checks"]} == {"ok"}

    service.on("GET", "/api/checks", found(NO_LEADER))
    result = run("check", "--json")
    assert (result.exit_code, json.loads(result.stdout)["ok"]) == (1, False)
