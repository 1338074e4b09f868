"""On a real node: how fast Jobs come and go, what lies between two of them, one task alone, and memory."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from runner.contract import key_prefix
from tests.benchmarks.cluster.bare import IMPORT_REDIS, bare_job, new_run, run_bare
from tests.benchmarks.cluster.place import place, resident_bytes
from tests.benchmarks.measure import Row, mebibytes, percentile, spread
from tests.e2e.audit import events, when
from tests.e2e.receiver import Receiver
from tests.e2e.release import until

if TYPE_CHECKING:
    from tests.benchmarks.cluster.place import Place

JOBS, AT_A_TIME, ALONE = 60, 8, 7
QUEUED = 10_000
STAMP = (
    "import os, redis; client = redis.Redis.from_url(open('/run/secrets/taskpost/redis-url').read().strip()); "
    "seconds, micros = client.time(); client.set(os.environ['STAMP'], f'{seconds}.{micros:06}')"
)


def rows() -> list[Row]:
    with place(settings={"concurrency": AT_A_TIME}) as here:
        receiver = Receiver()
        receiver.keys.append(here.release.signing_key())
        try:
            return [*asyncio.run(_throughput(here, receiver)), *asyncio.run(_alone(here)), *_memory(here)]
        finally:
            receiver.close()


async def _throughput(here: Place, receiver: Receiver) -> list[Row]:
    template = await _template(here)
    ours, floors = [], []
    for _ in range(2):
        run_id = new_run()
        jobs = [bare_job(template, run_id, IMPORT_REDIS, []) for _ in range(JOBS)]
        cluster = here.cluster()
        await cluster.open()
        floors.append(JOBS / await run_bare(cluster, jobs, run_id, AT_A_TIME))
        await cluster.close()
        before = len(here.tasks())
        ids = await here.submit(JOBS, "sleep", {"seconds": 0}, receiver.url)
        await asyncio.to_thread(here.wait_until_ended, before + JOBS, 300)
        told = [task for task in here.tasks() if task["task_id"] in ids]
        first, last = min(task["created_at"] for task in told), max(task["finished_at"] for task in told)
        ours.append(JOBS / (_time(last) - _time(first)))
    await asyncio.to_thread(receiver.wait_for, 2 * JOBS, 60)
    until(lambda: not here.release.jobs(), 60, "all Jobs to be gone")
    ratio = median(ours) / median(floors)
    changes = events(here.release.namespace)
    after = [task for task in here.tasks() if task["task_id"] in ids]
    gaps = _gaps(changes, {f"tp-{task['task_id']}-1" for task in after})
    delays = [receiver.at[task["task_id"]] - _time(task["finished_at"]) for task in after]
    return [
        Row(
            f"{JOBS} tasks, {AT_A_TIME} at a time",
            f"{median(floors):.2f}/s",
            f"{median(ours):.2f}/s ({ratio:.2f}x)",
            ">= 0.8x",
            ratio >= 0.8,
            note="floor: bare Jobs of the same pod doing `import redis`, as many at a time; medians of two",
        ),
        Row("pod over -> next Job created", "-", spread(gaps), "p99 < 250 ms", percentile(gaps, 99) < 0.25),
        Row("outcome -> first callback", "-", spread(delays), "p99 < 300 ms", percentile(delays, 99) < 0.3),
        _calls(here, 1 + 2 * JOBS),
    ]


def _calls(here: Place, tasks: int) -> Row:
    account = f"system:serviceaccount:{here.release.namespace}:{here.release.prefix}"
    calls = [event for event in events(here.release.namespace, reads=True) if event["user"]["username"] == account]
    verbs = [event["verb"] for event in calls if event["verb"] != "watch"]
    per_task = len(verbs) / tasks
    kinds = ", ".join(f"{verb} {verbs.count(verb) / tasks:.2f}" for verb in sorted(set(verbs)))
    return Row("API server calls for one task", "1 create", f"{per_task:.2f}", "<= 3", per_task <= 3, note=kinds)


async def _template(here: Place) -> dict[str, Any]:
    """The pod of a real task, without what is the task's own."""
    (task_id,) = await here.submit(1, "sleep", {"seconds": 2}, None)
    jobs = until(here.release.jobs, 30, "a Job")
    await asyncio.to_thread(here.release.ended, task_id)
    return dict(jobs[0]["spec"]["template"])


async def _alone(here: Place) -> list[Row]:
    template = await _template(here)
    cluster = here.cluster()
    await cluster.open()
    floors, ours = [], []
    for number in range(ALONE):
        floors.append(await _stamped(here, cluster, template, f"{key_prefix(here.release.prefix)}stamp:{number}"))
        (task_id,) = await here.submit(1, "sleep", {"seconds": 0}, None)
        seen = await asyncio.to_thread(here.release.ended, task_id)
        ours.append(_time(seen["started_at"]) - _time(seen["created_at"]))
        await asyncio.to_thread(until, lambda: not here.release.jobs(), 30, "it to be gone")
    await cluster.close()
    ratio = median(ours) / median(floors)
    return [
        Row(
            "one task, submit to running",
            f"{median(floors):.2f} s",
            f"{median(ours):.2f} s ({ratio:.2f}x)",
            "<= 1.2x",
            ratio <= 1.2,
            note=f"floor: a bare Job from its creation to its first word to Redis; medians of {ALONE}",
        )
    ]


async def _stamped(here: Place, cluster: Any, template: dict[str, Any], key: str) -> float:
    """The seconds from the creation of a bare Job to the time that its program wrote: one machine has one clock."""
    run_id = new_run()
    job = bare_job(template, run_id, ["python", "-c", STAMP], [{"name": "STAMP", "value": key}])
    began = time.time()
    await run_bare(cluster, [job], run_id, 1)
    return float(here.release.valkey("GET", key)) - began


def _memory(here: Place) -> list[Row]:
    idle = resident_bytes(here.processes("service"))
    asyncio.run(here.submit(QUEUED, "sleep", {"seconds": 3600}, None))
    until(lambda: here.count("queued") >= QUEUED - AT_A_TIME, 60, f"{QUEUED} tasks to wait")
    full = resident_bytes(here.processes("service"))
    until(lambda: here.count("running") >= 1, 60, "a task to run")
    task = resident_bytes(here.processes("task"))
    return [
        Row("service's memory, idle", "-", mebibytes(idle), "120 MiB", idle <= 120 * 2**20, note="the larger replica"),
        Row(f"service's memory, {QUEUED:,} queued", "-", mebibytes(full), "200 MiB", full <= 200 * 2**20),
        Row("runner's memory", "-", mebibytes(task), "64 MiB", task <= 64 * 2**20),
    ]


def _gaps(changes: list[dict[str, Any]], among: set[str]) -> list[float]:
    """The seconds from each end of a pod to the creation of the Job that took its slot."""
    creates, ends = [], []
    for event in changes:
        about, at = event["objectRef"], _time(when(event))
        name = str(about.get("name", ""))
        if about["resource"] == "jobs" and event["verb"] == "create" and name in among:
            creates.append(at)
        phase = (event.get("requestObject") or {}).get("status", {}).get("phase")
        if about["resource"] == "pods" and phase in {"Succeeded", "Failed"} and name.rpartition("-")[0] in among:
            ends.append(at)
    return [begin - end for begin, end in zip(creates[AT_A_TIME:], ends, strict=False)]


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
