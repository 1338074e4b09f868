"""`make proof`: 1,000 tasks, a service that is killed twice, and the callbacks of all of them.

The tasks are submitted as fast as the service takes them. It is ended by `kill -9` while they are being submitted, and
again when half of their callbacks have arrived, and started again each time. Then every task has had its callback, all
deliveries of one task have one id and one body, and none was repeated except near a kill.
"""

from __future__ import annotations

import socket
import sys
import tempfile
import threading
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from taskpost import ApiError, Client, Unreachable
from taskpost.receiver import Receiver, verify

from tests.support.service import ServiceProcess, runners_of

if TYPE_CHECKING:
    from taskpost.receiver import Received

TASKS = 1000
CONCURRENCY = 4
LIMIT_SECONDS = 900.0
NEAR_A_KILL = timedelta(seconds=60)
"""A try cut off by the kill is made again when its lease of 30 s has run out."""


def main() -> int:
    began = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="tp-proof-"))
    with Receiver() as receiver:
        service = ServiceProcess(directory / "data", bind=f"127.0.0.1:{free_port()}", concurrency=CONCURRENCY)
        service.start()
        print(f"{service.url} with concurrency {CONCURRENCY}, its data in {directory}", flush=True)
        submitter = Submitter(service.url, receiver.url)
        submitter.start()
        kills: list[datetime] = []
        submitter.half.wait(LIMIT_SECONDS)
        kill(service, kills, f"{len(submitter.answered)} tasks are submitted")
        deliveries: dict[str, list[Received]] = defaultdict(list)
        while len(deliveries) < TASKS:
            received = receiver.next(LIMIT_SECONDS - (time.monotonic() - began))
            deliveries[received.json()["task_id"]].append(received)
            if len(deliveries) == TASKS // 2 and len(kills) == 1:
                kill(service, kills, f"{len(deliveries)} callbacks have arrived")
        submitter.join()
        faults = judge(service, submitter.answered, deliveries, kills, directory)
        service.stop()
    left = runners_of(directory)
    faults += [f"left behind: {process}" for process in left]
    seconds = time.monotonic() - began
    repeats = sum(len(received) - 1 for received in deliveries.values())
    print(f"{len(deliveries)} tasks delivered, {repeats} deliveries repeated, {seconds:.0f} s in all")
    for fault in faults[:20]:
        print(f"FAULT: {fault}")
    print(f"{TASKS - len(faults)} passed, {len(faults)} failed")
    return 1 if faults else 0


class Submitter(threading.Thread):
    """Submits as fast as it can, and again what was not answered: the key makes that one task."""

    def __init__(self, url: str, result_url: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._result_url = result_url
        self.answered: list[str] = []
        self.half = threading.Event()

    def run(self) -> None:
        with Client(self._url) as client:
            for number in range(TASKS):
                self.answered.append(self._submit(client, f"proof-{number}"))
                if number == TASKS // 2:
                    self.half.set()

    def _submit(self, client: Client, key: str) -> str:
        until = time.monotonic() + LIMIT_SECONDS
        while True:
            try:
                given = {"seconds": 0}
                return client.submit("sleep", given, result_url=self._result_url, idempotency_key=key).task.task_id
            except (Unreachable, ApiError):
                if time.monotonic() > until:
                    raise


def kill(service: ServiceProcess, kills: list[datetime], when: str) -> None:
    """End the service as a crash would, and start it again on the same address."""
    service.kill()
    kills.append(datetime.now(UTC))
    service.start()
    seconds = (datetime.now(UTC) - kills[-1]).total_seconds()
    print(f"kill -9 when {when}; it listened again after {seconds:.1f} s", flush=True)


def judge(
    service: ServiceProcess,
    answered: list[str],
    deliveries: dict[str, list[Received]],
    kills: list[datetime],
    directory: Path,
) -> list[str]:
    key = (directory / "data" / "signing-keys").read_text().strip()
    faults = [f"{task_id} was not delivered" for task_id in set(answered) - set(deliveries)]
    faults += [f"{task_id} was delivered, but never answered with 202" for task_id in set(deliveries) - set(answered)]
    if len(set(answered)) != TASKS:
        faults.append(f"{len(set(answered))} tasks for {TASKS} idempotency keys")
    for task_id, received in deliveries.items():
        if {one.headers["webhook-id"] for one in received} != {f"msg_{task_id}"}:
            faults.append(f"{task_id} has more than one delivery id")
        if len({one.body for one in received}) != 1 or received[0].json()["status"] != "done":
            faults.append(f"{task_id} has more than one outcome, or is not done")
        for one in received:
            verify(one.headers, one.body, [key], now=one.received_at)
        for one in received[1:]:
            if not any(timedelta(0) <= one.received_at - at <= NEAR_A_KILL for at in kills):
                faults.append(f"{task_id} was delivered again at {one.received_at}, far from a kill")
    with service.client() as client:
        listed = {task.task_id: task.task_status for task in client.list()}
    faults += [f"{task_id} is {listed.get(task_id)}" for task_id in answered if listed.get(task_id) != "done"]
    return faults


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
