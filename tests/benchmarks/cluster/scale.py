"""2,000 tasks on nodes that only pretend: what the service costs, and whether that grows with their number."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from runner.contract import Env
from tests.benchmarks.cluster.bare import LABEL, bare_job, new_run, run_bare
from tests.benchmarks.cluster.place import cpu_seconds, place, resident_bytes
from tests.benchmarks.measure import Row, mebibytes
from tests.e2e.audit import when
from tests.e2e.release import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.cluster.place import Place

NODE = Path(__file__).parents[2] / "cluster" / "node.sh"
NODES = 5
TASKS, PART, AT_A_TIME = 2000, 500, 50
LIMIT_SECONDS = 180
PODS: dict[str, Any] = {
    "nodeSelector": {"type": "kwok"},
    "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}],
}


@dataclass(frozen=True, slots=True)
class Moment:
    """How many tasks had ended at a time (Unix), and what CPU time the service had used."""

    ended: int
    seconds: float
    cpu_seconds: float


def rows() -> list[Row]:
    with pretending(), place(settings={"concurrency": AT_A_TIME}, taskPods=PODS) as here:
        with stand_in(here, f"taskpost.dev/instance={here.release.prefix}"):
            moments = _run(here)
            memory = resident_bytes(here.processes("service"))
        floor = asyncio.run(_bare(here))
        calls = _calls(here, moments)
    return _judge(moments, calls, memory, floor)


def _run(here: Place) -> list[Moment]:
    service = here.processes("service")

    def now() -> Moment:
        return Moment(here.ended(), time.time(), cpu_seconds(service))

    moments = [now()]
    asyncio.run(here.submit(TASKS, "sleep", {"seconds": 0}, None))
    for ended in range(PART, TASKS, PART):
        here.wait_until_ended(ended, LIMIT_SECONDS)
        moments.append(now())
    here.wait_until_ended(TASKS, LIMIT_SECONDS)
    until(lambda: not here.release.jobs(), 60, "every Job to be settled and gone", poll_seconds=1)
    return [*moments, now()]


def _calls(here: Place, moments: list[Moment]) -> list[float]:
    """Calls of the service to the API server for a task of each part."""
    at = [datetime.fromisoformat(when(event)).timestamp() for event in here.calls()]
    return [
        sum(before.seconds <= called < after.seconds for called in at) / (after.ended - before.ended)
        for before, after in pairwise(moments)
    ]


async def _bare(here: Place) -> float:
    """Jobs a second of the control plane alone: as many at a time, ended by the same stand-in."""
    run_id = new_run()
    pod = {"containers": [{"name": "task", "image": "none"}], "restartPolicy": "Never"} | PODS
    jobs = [bare_job({"spec": pod}, run_id, ["none"], []) for _ in range(PART)]
    cluster = here.cluster()
    await cluster.open()
    with stand_in(here, f"{LABEL}={run_id}"):
        seconds = await run_bare(cluster, jobs, run_id, AT_A_TIME)
    await cluster.close()
    return PART / seconds


def _judge(moments: list[Moment], calls: list[float], memory: int, floor: float) -> list[Row]:
    first, last = moments[0], moments[-1]
    seconds = last.seconds - first.seconds
    rate, cores = TASKS / seconds, (last.cpu_seconds - first.cpu_seconds) / seconds
    costs = [(b.cpu_seconds - a.cpu_seconds) / (b.ended - a.ended) for a, b in pairwise(moments)]
    growth = costs[-1] / costs[1]
    each = ", ".join(f"{1000 * cost:.1f} ms" for cost in costs)
    called = ", ".join(f"{number:.2f}" for number in calls)
    return [
        Row(
            f"{TASKS:,} tasks on kwok, POST to settled",
            f"{floor:.1f}/s",
            f"{rate:.1f}/s",
            ">= 20/s",
            rate >= 20,
            note=f"floor: bare Jobs on the same nodes, {AT_A_TIME} at a time; {seconds:.0f} s in all",
        ),
        Row("the service's share of a core", "-", f"{cores:.2f}", "< 0.5", cores < 0.5, note="of all replicas"),
        Row("the service's memory", "-", mebibytes(memory), "200 MB", memory <= 200e6, note="the larger replica"),
        Row(
            "cost of a task, last part to second",
            "1",
            f"{growth:.2f}",
            "<= 1.25",
            growth <= 1.25,
            note=f"CPU of all replicas for a task, in parts of {PART}: {each}; API calls: {called}",
        ),
        Row("API calls for one task on kwok", "1 create", f"{max(calls):.2f}", "<= 3", 2 <= max(calls) <= 3),
    ]


def _redis_url(here: Place) -> str:
    """The runner's address of Valkey, by the Service's address: names of the cluster mean nothing outside of pods."""
    url = here.release.secret(f"{here.release.prefix}-runner", "redis-url").strip()
    address = here.release.get("service", f"{here.release.prefix}-valkey")["spec"]["clusterIP"]
    if address == "None":
        address = here.release.pods("valkey")[0]["status"]["podIP"]
    return url.replace(urlsplit(url).hostname or "", address)


@contextmanager
def pretending() -> Iterator[None]:
    """Nodes that only pretend, taken away afterwards."""
    try:
        subprocess.run([NODE, "kwok", str(NODES), "stay"], check=True)
        yield
    finally:
        subprocess.run([NODE, "stop", "kwok"], check=True)
        subprocess.run(["kubectl", "delete", "node", "-l", "type=kwok"], check=True, capture_output=True)


@contextmanager
def stand_in(here: Place, selector: str) -> Iterator[None]:
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.cluster.stand_in",
        here.release.namespace,
        selector,
        _redis_url(here),
    ]
    keys = here.release.secret(f"{here.release.prefix}-runner", "signing-keys")
    process = subprocess.Popen(command, env={**os.environ, Env.SIGNING_KEYS: keys})
    try:
        yield
    finally:
        process.terminate()
        process.wait()
