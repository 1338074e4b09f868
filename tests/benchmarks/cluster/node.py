"""On a real node: how fast Jobs come and go, what lies between two of them, one task alone, and memory."""

from __future__ import annotations

import asyncio
import os
import time
from statistics import median
from typing import TYPE_CHECKING, Any

from runner.contract import key_prefix
from tests.benchmarks.cluster.bare import IMPORT_REDIS, bare_job, new_run, run_bare
from tests.benchmarks.cluster.place import place, resident_bytes
from tests.benchmarks.cluster.turns import pod_ends, rate_row, template_of, unix_time
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


def jobs() -> list[Row]:
    """As many tasks at a time as bare Jobs of the same pod, what lies between two, and the calls that they cost."""
    with place(settings={"concurrency": AT_A_TIME}) as here:
        return asyncio.run(_jobs(here))


async def _jobs(here: Place) -> list[Row]:
    template = await template_of(here, "sleep", {"seconds": 2})
    row = await rate_row(
        here,
        "tasks",
        (JOBS, AT_A_TIME),
        lambda run_id: bare_job(template, run_id, IMPORT_REDIS, []),
        ("sleep", {"seconds": 0}),
    )
    gaps = _gaps(events(here.release.namespace))
    return [
        row,
        Row("pod over -> next Job created", "-", spread(gaps), "p99 < 250 ms", percentile(gaps, 99) < 0.25),
        _calls(here, 1 + AT_A_TIME + 3 * JOBS),
    ]


def callbacks() -> list[Row]:
    """As many at a time as there are CPUs: with more it is their waiting for a CPU that is measured."""
    cpus = os.cpu_count() or 1
    with place(settings={"concurrency": cpus}) as here:
        receiver = Receiver()
        receiver.keys.append(here.release.signing_key())
        asyncio.run(here.submit(JOBS, "sleep", {"seconds": 0}, receiver.url))
        receiver.wait_for(JOBS, 300)
        delays = [receiver.at[task["task_id"]] - unix_time(task["finished_at"]) for task in here.tasks()]
        receiver.close()
    what = f"outcome -> first callback, {cpus} at a time"
    return [Row(what, "-", spread(delays), "p99 < 300 ms", percentile(delays, 99) < 0.3)]


def _calls(here: Place, tasks: int) -> Row:
    verbs = [event["verb"] for event in here.calls()]
    assert verbs.count("create") >= tasks
    per_task = len(verbs) / tasks
    kinds = ", ".join(f"{verb} {verbs.count(verb) / tasks:.2f}" for verb in sorted(set(verbs)))
    note = f"{kinds}; the lists are made whatever there is to do"
    return Row("API server calls for one task", "1 create", f"{per_task:.2f}", "<= 3", per_task <= 3, note=note)


def alone() -> list[Row]:
    with place() as here:
        return asyncio.run(_alone(here))


async def _alone(here: Place) -> list[Row]:
    template = await template_of(here, "sleep", {"seconds": 2})
    cluster = here.cluster()
    await cluster.open()
    floors, ours = [], []
    for number in range(ALONE):
        floors.append(await _stamped(here, cluster, template, f"{key_prefix(here.release.prefix)}stamp:{number}"))
        (task_id,) = await here.submit(1, "sleep", {"seconds": 0}, None)
        seen = await asyncio.to_thread(here.release.ended, task_id)
        ours.append(unix_time(seen["started_at"]) - unix_time(seen["created_at"]))
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


def memory() -> list[Row]:
    with place() as here:
        return _memory(here)


def _memory(here: Place) -> list[Row]:
    idle = resident_bytes(here.processes("service"))
    asyncio.run(here.submit(QUEUED, "sleep", {"seconds": 3600}, None))
    until(lambda: here.count("queued") >= QUEUED - 20, 60, f"{QUEUED} tasks to wait")
    full = resident_bytes(here.processes("service"))
    until(lambda: here.count("running") >= 1, 60, "a task to run")
    task = resident_bytes(here.processes("task"))
    return [
        Row("service's memory, idle", "-", mebibytes(idle), "120 MiB", idle <= 120 * 2**20, note="the larger replica"),
        Row(f"service's memory, {QUEUED:,} queued", "-", mebibytes(full), "200 MiB", full <= 200 * 2**20),
        Row("runner's memory", "-", mebibytes(task), "64 MiB", task <= 64 * 2**20),
    ]


def _gaps(changes: list[dict[str, Any]]) -> list[float]:
    """The seconds from each end of a pod to the next creation of a Job, when there were tasks that waited for it.

    They waited when as many Jobs were unfinished as there are slots: then an end makes room for just one.
    """
    moments = [(at, "end") for _, at in pod_ends(changes)]
    moments += [
        (unix_time(when(event)), "create")
        for event in changes
        if event["objectRef"]["resource"] == "jobs"
        and event["verb"] == "create"
        and str(event["objectRef"].get("name", "")).startswith("tp-")
    ]
    gaps, unfinished, freed = [], 0, []
    for at, what in sorted(moments):
        if what == "end":
            if unfinished == AT_A_TIME or freed:
                freed.append(at)
            unfinished -= 1
        else:
            unfinished += 1
            if freed:
                gaps.append(at - freed.pop(0))
        if unfinished == 0:
            freed.clear()  # nothing waits any more
    assert len(gaps) > JOBS
    return gaps
