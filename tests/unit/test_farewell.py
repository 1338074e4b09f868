"""What a service prints about its tasks when it stops."""

from __future__ import annotations

import pytest

from api.commands.farewell import farewell
from api.settings import read_settings


@pytest.mark.parametrize(
    ("given", "running", "words"),
    [
        ({}, 0, "no task is running. Tasks that wait run when Taskpost starts again."),
        (
            {"grace_seconds": "2.5"},
            1,
            "it ends 1 running task within 2.5 s and puts it back into the queue. It runs again when Taskpost starts",
        ),
        (
            {"redis_url": "redis://h"},
            3,
            "it ends 3 running tasks within 10 s and puts them back into the queue. They run again in another service ",
        ),
        (
            {"redis_url": "redis://h", "executor": "kubernetes"},
            0,
            "running tasks go on as Kubernetes Jobs. Tasks that wait run in another service on this Redis, or when ",
        ),
    ],
)
def test_it_says_what_happens_to_running_and_waiting_tasks(given, running, words):
    told = farewell(read_settings(**({"executor": "local"} | given)), running)
    assert told.startswith(f"Taskpost stops: {words}")
