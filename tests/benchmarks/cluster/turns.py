"""What ours and bare Jobs are compared by: the pod of a task, and the time that many take."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tests.benchmarks.cluster.bare import new_run, run_bare
from tests.benchmarks.measure import Pairs, Row
from tests.e2e.audit import events, when
from tests.e2e.release import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.cluster.place import Place

Task = tuple[str, dict[str, Any]]
"""A type and an input."""


async def template_of(here: Place, task_type: str, task_input: dict[str, Any]) -> dict[str, Any]:
    """The pod of a real task, without what is the task's own."""
    (task_id,) = await here.submit(1, task_type, task_input, None)
    jobs = until(here.release.jobs, 30, "a Job")
    await asyncio.to_thread(here.release.ended, task_id)
    return dict(jobs[0]["spec"]["template"])


async def seconds_of_tasks(here: Place, count: int, task_type: str, task_input: dict[str, Any]) -> float:
    """From the first submission to the end of the last pod, as of bare Jobs."""
    before = here.ended()
    began = time.time()
    ids = set(await here.submit(count, task_type, task_input, None))
    await asyncio.to_thread(here.wait_until_ended, before + count, 300)
    until(lambda: not here.release.jobs(), 60, "all Jobs to be gone")
    ends = [at for name, at in pod_ends(events(here.release.namespace)) if name.removeprefix("tp-")[:-2] in ids]
    assert len(ends) == count
    return max(ends) - began


async def rate_row(
    here: Place, what: str, counts: tuple[int, int], bare: Callable[[str], dict[str, Any]], task: Task
) -> Row:
    """As many tasks at a time as bare Jobs, in turns; the first of each is for warming up, and neighbours are compared.

    `counts` are how many in all and how many at a time, `bare` makes the Job of a run.
    """
    tasks, at_a_time = counts
    ours, floors = [], []
    for count in (at_a_time, tasks, tasks, tasks):
        run_id = new_run()
        cluster = here.cluster()
        await cluster.open()
        floors.append(count / await run_bare(cluster, [bare(run_id) for _ in range(count)], run_id, at_a_time))
        await cluster.close()
        ours.append(count / await seconds_of_tasks(here, count, *task))
    until(lambda: not here.release.jobs(), 60, "all Jobs to be gone")
    pairs = Pairs(floors[1:], ours[1:])
    return Row(
        f"{tasks} {what}, {at_a_time} at a time",
        f"{pairs.floor:.2f}/s",
        f"{pairs.measured:.2f}/s ({pairs.ratio:.2f}x)",
        ">= 0.8x",
        pairs.ratio >= 0.8,
        note="floor: bare Jobs of the same pod doing `import redis`, as many at a time; medians of three",
    )


def pod_ends(changes: list[dict[str, Any]]) -> list[tuple[str, float]]:
    """The Jobs of ours whose pods ended, and when, in order."""
    ends: dict[str, float] = {}
    for event in changes:
        about = event["objectRef"]
        job = str(about.get("name", "")).rpartition("-")[0]
        phase = (event.get("requestObject") or {}).get("status", {}).get("phase")
        if about["resource"] == "pods" and job.startswith("tp-") and phase in {"Succeeded", "Failed"}:
            ends.setdefault(job, unix_time(when(event)))
    return list(ends.items())


def unix_time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
