"""Bars on a terminal, lines elsewhere."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from taskpost import Task, WaitTimeout
from taskpost.cli.progress import follow

from tests.unit.client.scripted_service import Reply, Service, task

if TYPE_CHECKING:
    from taskpost import Client


def tasks_of(*task_ids: str, **changes: str) -> list[Task]:
    return [Task.from_json(task(task_id=task_id, **changes)) for task_id in task_ids]


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.file.getvalue())


def test_bars_stand_side_by_side_until_all_have_ended(service: Service, client: Client) -> None:
    reason = {"code": "unschedulable", "message": "No [bold]node fits."}
    service.on("GET", "/api/tasks/000001", Reply(body=task("done", task_id="000001")))
    service.on(
        "GET",
        "/api/tasks/000002",
        Reply(body=task("starting", task_id="000002", waiting_reason=reason)),
        Reply(body=task("running", task_id="000002", task_percent_done=42.5)),
        Reply(body=task("failed", task_id="000002", task_percent_done=42.5)),
    )
    console = terminal()

    ended = follow(client, tasks_of("000001", "000002"), console)

    assert [(task_id, task.task_status) for task_id, task in ended.items()] == [
        ("000001", "done"),
        ("000002", "failed"),
    ]
    last = shown(console).rstrip().splitlines()[-2:]
    assert last[0].startswith("fibonacci 000001")
    assert re.search(r"100\.0 % .* done", last[0])
    assert re.search(r"^fibonacci 000002 .* 42\.5 % .* failed", last[1])


def test_one_bar_is_named_by_its_type_and_shows_the_place_in_the_queue(service: Service, client: Client) -> None:
    service.on("GET", "/api/tasks/one", Reply(body=task(task_id="one", queue_position=3)))
    console = terminal()

    with pytest.raises(WaitTimeout):
        follow(client, tasks_of("one"), console, timeout_seconds=0)

    last = shown(console).rstrip().splitlines()[-1]
    assert re.search(r"^fibonacci .* 0\.0 % .* queued, position 3$", last)


def test_lines_elsewhere(service: Service, client: Client) -> None:
    service.on(
        "GET",
        "/api/tasks/one",
        Reply(body=task("running", task_id="one", task_percent_done=50.0)),
        Reply(body=task("done", task_id="one")),
    )
    service.on("GET", "/api/tasks/two", Reply(body=task("cancelled", task_id="two", task_type="[red]sleep")))
    console = Console(file=io.StringIO(), width=20)

    follow(client, [*tasks_of("one"), *tasks_of("two", task_type="[red]sleep")], console)

    assert shown(console).splitlines() == [
        "fibonacci: running, 50.0 %",
        "[red]sleep: cancelled",
        "fibonacci: done",
    ]
