"""Waiting for tasks to end, with the service going and coming."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from taskpost import ApiError, NotFound, Unreachable, WaitTimeout, waiting

from tests.unit.client.scripted_service import TASK_ID, Reply, Service, problem, task

if TYPE_CHECKING:
    from taskpost import Client, Task

TARGET = f"/api/tasks/{TASK_ID}"


def test_wait_ends_with_the_task_and_tells_each_change_once(service: Service, client: Client) -> None:
    running = Reply(body=task("running", task_percent_done=50.0))
    service.on("GET", TARGET, Reply(body=task()), running, running, running, Reply(body=task("failed")))
    seen: list[Task] = []

    ended = client.wait(TASK_ID, on_change=seen.append)

    assert ended.task_status == "failed"
    assert [task.task_status for task in seen] == ["queued", "running", "failed"]
    assert len(service.asked) == 5


@pytest.mark.parametrize("timeout_seconds", [None, 30])
def test_wait_outlives_short_outages(timeout_seconds: float | None, service: Service, client: Client) -> None:
    faults = (Reply(drop=True), problem(503, "redis_unavailable", "Away."), problem(429, "too_many", "Slowly."))
    service.on("GET", TARGET, Reply(body=task()), *faults, Reply(500, b"oops"), Reply(body=task("done")))

    assert client.wait(TASK_ID, timeout_seconds=timeout_seconds).task_status == "done"
    assert len(service.asked) == 6


def test_wait_gives_up_at_its_timeout(service: Service, client: Client) -> None:
    service.on("GET", TARGET, Reply(body=task("running")))

    with pytest.raises(WaitTimeout) as raised:
        client.wait(TASK_ID, timeout_seconds=0)

    assert str(raised.value) == f"Gave up waiting after 0 s: task {TASK_ID} is running."
    assert raised.value.waiting[TASK_ID].task_status == "running"  # type: ignore[union-attr]


def test_the_end_of_a_wait_without_answers_names_the_fault(client: Client, service: Service) -> None:
    service.on("GET", TARGET, Reply(drop=True))

    with pytest.raises(WaitTimeout, match="in a state not seen") as raised:
        client.wait(TASK_ID, timeout_seconds=0.01)

    assert isinstance(raised.value.__cause__, Unreachable)


def test_a_wait_without_timeout_does_not_outlive_a_long_outage(
    service: Service, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "LONGEST_OUTAGE_SECONDS", 0)
    service.on("GET", TARGET, problem(503, "redis_unavailable", "Away."))

    with pytest.raises(ApiError, match="Away"):
        client.wait(TASK_ID)


def test_a_task_that_is_not_there_is_not_waited_for(service: Service, client: Client) -> None:
    with pytest.raises(NotFound):
        client.wait(TASK_ID, timeout_seconds=30)

    assert len(service.asked) == 1


def test_wait_all_asks_no_more_for_what_has_ended(service: Service, client: Client) -> None:
    service.on("GET", "/api/tasks/one", Reply(body=task("done", task_id="one")))
    service.on("GET", "/api/tasks/two", Reply(body=task(task_id="two")), Reply(body=task("done", task_id="two")))

    ended = client.wait_all(["two", "one", "two"])

    assert list(ended) == ["two", "one"]
    assert all(task.ended for task in ended.values())
    assert service.targets().count("GET /api/tasks/one") == 1
    assert client.wait_all([]) == {}
