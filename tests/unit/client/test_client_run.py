"""`run`: submit, wait and result in one call."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest
from taskpost import ApiError, Client, InvalidTask, Reason, Result, TaskFailedError, Unreachable, WaitTimeout

from tests.unit.client.scripted_service import TASK_ID, Reply, outcome, problem, task

if TYPE_CHECKING:
    from taskpost import Task

    from tests.unit.client.scripted_service import Service

ACCEPTED = Reply(202, {"task": task(), "queue_position": 1})
TARGET = f"/api/tasks/{TASK_ID}"


def ends(service: Service, status: str, body: bytes) -> None:
    service.on("POST", "/api/tasks", ACCEPTED)
    service.on("GET", TARGET, Reply(body=task("running")), Reply(body=task(status)))
    service.on("GET", TARGET + "/result", Reply(body=body))


def test_run_returns_the_result(service: Service, client: Client) -> None:
    ends(service, "done", outcome(result={"value": "55"}))
    seen: list[Task] = []

    result = client.run(
        "fibonacci",
        {"n": 10},
        result_url="http://here/",
        priority=3,
        timeout_seconds=7,
        idempotency_key="k",
        wait_timeout_seconds=30,
        on_change=seen.append,
    )

    assert isinstance(result, Result)
    assert result.result == {"value": "55"}
    assert [task.task_status for task in seen] == ["running", "done"]
    assert service.asked[0].json == {
        "result_url": "http://here/",
        "task_type": "fibonacci",
        "task_input": {"n": 10},
        "priority": 3,
        "timeout_seconds": 7,
    }
    assert service.asked[0].headers["Idempotency-Key"] == "k"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("failed", f"Task {TASK_ID} failed: It took too long. (timed_out)"),
        ("cancelled", f"Task {TASK_ID} was cancelled: It took too long. (timed_out)"),
    ],
)
def test_run_raises_if_there_is_no_result(status: str, words: str, service: Service, client: Client) -> None:
    ends(service, status, outcome(status, error={"code": "timed_out", "message": "It took too long."}))

    with pytest.raises(TaskFailedError) as raised:
        client.run("fibonacci")

    assert str(raised.value) == words
    assert raised.value.outcome.status == status
    assert raised.value.outcome.error == Reason("timed_out", "It took too long.")
    assert str(pickle.loads(pickle.dumps(raised.value))) == words


def test_a_run_that_is_not_over_in_time_names_its_task(service: Service, client: Client) -> None:
    ends(service, "running", b"")

    with pytest.raises(WaitTimeout) as raised:
        client.run("fibonacci", wait_timeout_seconds=0)

    assert list(raised.value.waiting) == [TASK_ID]


def test_whatever_ends_a_run_early_names_its_task(service: Service, client: Client) -> None:
    ends(service, "done", b"")
    service.on("GET", TARGET + "/result", problem(410, "result_gone", "It is gone."), Reply(drop=True))

    for kind in (ApiError, Unreachable):
        with pytest.raises(kind) as raised:
            client.run("fibonacci")
        assert raised.value.__notes__ == [f"The task is {TASK_ID}."]


def test_a_run_that_is_refused_is_not_waited_for(service: Service, client: Client) -> None:
    service.on("POST", "/api/tasks", problem(400, "invalid_request", "The task is not valid."))

    with pytest.raises(InvalidTask):
        client.run("no_such_type")

    assert len(service.asked) == 1
