"""How soon what is free is used, and what is known is told: slot freed to next start, outcome recorded to callback."""

from __future__ import annotations

import json
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from taskpost.receiver import Receiver

from tests.benchmarks.announcements import Announcements
from tests.benchmarks.measure import Row, percentile, spread
from tests.benchmarks.places import embedded_url, own_directory
from tests.support.service import ServiceProcess, eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

SLOT_TASKS = 60
SLOT_BUDGET_SECONDS = 0.25
CALLBACK_TASKS = 80
CALLBACK_CONCURRENCY = 2
CALLBACK_BUDGET_SECONDS = 0.3
LIMIT_SECONDS = 120.0


def slot_rows() -> list[Row]:
    with own_directory() as directory, ServiceProcess(directory / "data", concurrency=1, log_format="json") as service:
        with Announcements(embedded_url(directory)) as announcements:
            task_ids = _submit(service, SLOT_TASKS, None)
            eventually(
                lambda: all((task_id, "released") in announcements.times for task_id in task_ids),
                seconds=LIMIT_SECONDS,
                of="all tasks have run",
            )
        started = _starts(service.log())
        freed = announcements.times
        waits = [begun - freed[before, "released"] for (before, _), (_, begun) in pairwise(started)]
        assert len(waits) == SLOT_TASKS - 1
    return [_row("slot freed -> next attempt started", waits, SLOT_BUDGET_SECONDS)]


def callback_rows() -> list[Row]:
    with (
        own_directory() as directory,
        ServiceProcess(directory / "data", concurrency=CALLBACK_CONCURRENCY) as service,
        Receiver() as receiver,
    ):
        with Announcements(embedded_url(directory)) as announcements:
            _submit(service, CALLBACK_TASKS, receiver.url)
            received: dict[str, float] = {}
            while len(received) < CALLBACK_TASKS:
                callback = receiver.next(LIMIT_SECONDS)
                received.setdefault(callback.json()["task_id"], callback.received_at.timestamp())
        delays = [at - announcements.times[task_id, "done"] for task_id, at in received.items()]
    return [_row("outcome recorded -> first callback received", delays, CALLBACK_BUDGET_SECONDS)]


def _submit(service: ServiceProcess, number: int, result_url: str | None) -> list[str]:
    with service.client() as client:
        return [client.submit("sleep", {"seconds": 0}, result_url=result_url).task.task_id for _ in range(number)]


def _starts(log: str) -> list[tuple[str, float]]:
    """Task ids with the times at which their processes were there, in that order."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [
        (line["task_id"], datetime.fromisoformat(line["time"]).timestamp())
        for line in lines
        if line["event"] == "attempt_started"
    ]


def _row(what: str, seconds: Sequence[float], budget_seconds: float) -> Row:
    holds = percentile(seconds, 99) < budget_seconds
    return Row(what, "", spread(seconds), f"p99 < {1000 * budget_seconds:.0f} ms", holds)
