"""POST /api/tasks per second, one worker, beside a bare FastAPI handler with one Lua round trip on the same Valkey."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

from tests.benchmarks.load import Load, post
from tests.benchmarks.measure import Row, in_turns
from tests.benchmarks.places import embedded_url, own_directory, waiting_service

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 7
REQUESTS = 2500
BUDGET = 0.8
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
        process, bare_process = psutil.Process(service.process.pid), psutil.Process(bare.pid)
        shares: dict[int, list[tuple[float, float]]] = {process.pid: [], bare_process.pid: []}

        def rate(of: Load, server: psutil.Process) -> float:
            wall, client, served = time.perf_counter(), time.process_time(), _cpu(server)
            per_second = of.run(REQUESTS)
            wall = time.perf_counter() - wall
            shares[server.pid].append(((_cpu(server) - served) / wall, (time.process_time() - client) / wall))
            print(f"  {'ours' if server is process else 'floor'}: {per_second:.0f} a second", flush=True)
            return per_second

        pairs = in_turns(ROUNDS, lambda: rate(bare_load, bare_process), lambda: rate(load, process))
    said = [
        f"{name} {_percent(server for server, _ in shares[pid])} (client {_percent(client for _, client in shares[pid])})"
        for name, pid in (("floor", bare_process.pid), ("ours", process.pid))
    ]
    return [
        Row(
            "POST /api/tasks per second, one worker",
            f"{pairs.floor:.0f}",
            f"{pairs.measured:.0f} ({pairs.ratio:.2f}x)",
            f">= {BUDGET:g}x",
            pairs.ratio >= BUDGET,
            f"of one core the server used: {', '.join(said)}; what is short of 100 % is time waited for Valkey or a core",
        )
    ]


@contextmanager
def _bare_service(redis_url: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-P", "-m", "tests.benchmarks.bare_service", redis_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _percent(shares: Iterator[float]) -> str:
    values = list(shares)[1:]
    return f"{100 * sum(values) / len(values):.0f} %"
