"""POST /api/tasks per second, one worker, beside a bare FastAPI handler with one Lua round trip on the same Valkey."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING

import psutil

from tests.benchmarks.load import Load, post
from tests.benchmarks.measure import Row, in_turns
from tests.benchmarks.places import embedded_url, own_directory, waiting_service

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 75
REQUESTS = 300
BUDGET = 0.8
TRUSTED_SHARE = 0.9
BODY = json.dumps(
    {
        "result_url": "http://127.0.0.1:9/callbacks/of/this/benchmark/0123456789",
        "task_type": "fibonacci",
        "task_input": {"n": 1000},
    }
).encode()


def rows() -> list[Row]:
    request = post("/api/tasks", BODY)
    with (
        own_directory() as directory,
        waiting_service(directory) as service,
        _bare_service(embedded_url(directory)) as (bare, bare_url),
        Load(service.url, request) as load,
        Load(bare_url, request) as bare_load,
    ):
        _spread(bare.pid, service.process.pid)
        floor, ours = _Server("floor", bare.pid, bare_load), _Server("ours", service.process.pid, load)
        pairs = in_turns(ROUNDS, floor.rate, ours.rate)
    return [
        Row(
            "POST /api/tasks per second, one worker",
            f"{pairs.floor:.0f}",
            f"{pairs.measured:.0f} ({pairs.ratio:.2f}x)",
            f">= {BUDGET:g}x",
            pairs.ratio >= BUDGET,
            f"{floor}; {ours}{_doubt(floor, ours)}",
        )
    ]


def _spread(*servers: int) -> None:
    """Give the servers a core of their own, which they use in turns, and the rest to this client and to Valkey.

    Otherwise the kernel's choice, which changes within a second, is most of the difference between two rounds.
    """
    cores = psutil.Process().cpu_affinity() if hasattr(psutil.Process, "cpu_affinity") else []
    if len(cores) < 2:
        return
    others = [psutil.Process(), *(child for pid in servers for child in psutil.Process(pid).children(recursive=True))]
    for process, allowed in [*((psutil.Process(pid), cores[:1]) for pid in servers), *((o, cores[1:]) for o in others)]:
        for thread in process.threads():
            os.sched_setaffinity(thread.id, allowed)


class _Server:
    """One of the two, and what of a core it and the client used while it was asked."""

    def __init__(self, name: str, pid: int, load: Load) -> None:
        self._name = name
        self._process = psutil.Process(pid)
        self._load = load
        self._server_shares: list[float] = []
        self._client_shares: list[float] = []

    def rate(self) -> float:
        wall, client, server = time.perf_counter(), time.process_time(), self._cpu_seconds()
        per_second = self._load.run(REQUESTS)
        wall = time.perf_counter() - wall
        self._client_shares.append((time.process_time() - client) / wall)
        self._server_shares.append((self._cpu_seconds() - server) / wall)
        return per_second

    @property
    def share(self) -> float:
        """How much of a core it had: nearly all, unless it waited for Valkey, for the client or for its turn."""
        return median(self._server_shares)

    def __str__(self) -> str:
        return f"{self._name} used {self.share:.0%} of a core, its client {median(self._client_shares):.0%}"

    def _cpu_seconds(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system


def _doubt(*servers: _Server) -> str:
    if min(server.share for server in servers) >= TRUSTED_SHARE:
        return ""
    return ". That is not all of one: something else is busy here, so run this again on a quiet machine"


@contextmanager
def _bare_service(redis_url: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-P", "-m", "tests.benchmarks.bare_service", redis_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()
