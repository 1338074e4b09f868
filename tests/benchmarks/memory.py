"""Resident memory: of the service, idle and with 10,000 tasks queued, and of a runner at its peak."""

from __future__ import annotations

import json
from statistics import median

import psutil
from taskpost.receiver import Receiver

from tests.benchmarks.load import Load, get, post
from tests.benchmarks.measure import Row, mebibytes
from tests.benchmarks.places import own_directory, waiting_service
from tests.benchmarks.runner_process import run_runner
from tests.benchmarks.usage import usage_of_python
from tests.support.valkey import ValkeyServer

ROUNDS = 5
MIB = 2**20
QUEUED = 10_000
SERVICE_IMPORTS = "import fastapi, uvicorn, redis.asyncio, httpx, jsonschema_rs"
BODY = json.dumps({"result_url": None, "task_type": "echo", "task_input": {"value": "x" * 180}}).encode()


def rows() -> list[Row]:
    floor = usage_of_python(SERVICE_IMPORTS).peak_bytes
    with own_directory() as directory, waiting_service(directory) as service:
        process = psutil.Process(service.process.pid)
        with Load(service.url, get("/api/task-types"), 1) as load:
            load.run(1)
        idle = process.memory_info().rss
        with Load(service.url, post("/api/tasks", BODY)) as load:
            load.run(QUEUED)
        queued = process.memory_info().rss
    return [
        _row("resident memory: service, idle", floor, idle, 120),
        _row(f"resident memory: service, {QUEUED} queued", floor, queued, 200),
        _runner_row(),
    ]


def _runner_row() -> Row:
    with ValkeyServer() as server, Receiver() as receiver:
        peaks = [run_runner(server.url, receiver.url).usage.peak_bytes for _ in range(ROUNDS)]
        receiver.next(5)
    floors = [usage_of_python("import redis").peak_bytes for _ in range(ROUNDS)]
    return _row("resident memory: runner with its callback, peak", median(floors), median(peaks), 64)


def _row(what: str, floor: float, measured: float, budget_mib: int) -> Row:
    floor_text = f"{mebibytes(floor)} (imports)"
    return Row(what, floor_text, mebibytes(measured), f"<= {budget_mib} MiB", measured <= budget_mib * MIB)
