"""500 tasks whose receivers refuse, hang or work, a third each, while the service and its Valkey are killed.

Part of `make proof`. Then every receiver that works has had each of its outcomes at least once, under one id, with a
valid signature; all others are open or given up for a true reason; and all arrive when the receivers are mended and the
deliveries are asked for again.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from taskpost.receiver import SignatureInvalid, verify

from tests.proof.kill_in_the_middle import free_port
from tests.support.misbehaving import Misbehaving
from tests.support.service import ServiceProcess, eventually, runners_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskpost import Client

TASKS = 500
LIMIT_SECONDS = 400.0
KINDS = {"refuse": "/close", "hang": "/hang", "work": "/status/204"}
REASONS = {"refuse": {"the connection was closed without an answer"}, "hang": {"no answer within "}}


def main() -> int:
    began = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="tp-proof-"))
    receivers = {kind: Misbehaving() for kind in KINDS}
    with receivers["refuse"], receivers["hang"], receivers["work"]:
        service = ServiceProcess(
            directory / "data", bind=f"127.0.0.1:{free_port()}", concurrency=8, callback_retry_seconds="1,2,4,8"
        )
        service.start()
        of_kind: dict[str, list[str]] = defaultdict(list)
        with service.client() as client:
            for number in range(TASKS):
                kind = list(KINDS)[number % len(KINDS)]
                of_kind[kind].append(submit(client, receivers[kind].url(KINDS[kind])))
            receivers["work"].wait_for(20, LIMIT_SECONDS)
            kill_all(service, directory)
            receivers["work"].wait_for(60, LIMIT_SECONDS)
            kill_all(service, directory)
            eventually(lambda: not unfinished(client), seconds=LIMIT_SECONDS, of="all tasks to end")
            until_delivered(client, of_kind["work"])
            say(f"all have ended, and the receiver that works has had its share: {time.monotonic() - began:.0f} s")
            key = (directory / "data" / "signing-keys").read_text().strip()
            faults = judge_working(receivers["work"], of_kind["work"], key)
            faults += judge_others(client, of_kind)
            for receiver in receivers.values():
                receiver.mended = True
            eventually(lambda: client.redeliver_dead() or not is_open(client), seconds=LIMIT_SECONDS, of="all dead")
            until_delivered(client, [task_id for task_ids in of_kind.values() for task_id in task_ids], again=True)
            for kind, receiver in receivers.items():
                faults += judge_working(receiver, of_kind[kind], key)
        service.stop()
    faults += [f"left behind: {process}" for process in runners_of(directory)]
    for fault in faults[:20]:
        say(f"FAULT: {fault}")
    requests = sum(len(receiver.received) for receiver in receivers.values())
    say(f"{TASKS} tasks, {requests} requests, {time.monotonic() - began:.0f} s; {len(faults)} faults")
    return 1 if faults else 0


def submit(client: Client, url: str) -> str:
    return client.submit("sleep", {"seconds": 0}, result_url=url).task.task_id


def kill_all(service: ServiceProcess, directory: Path) -> None:
    """End the service and its Valkey as a crash of the machine would, and start both again."""
    valkeys = [process for process in runners_of(directory) if "valkey-server" in " ".join(process.cmdline())]
    service.kill()
    for process in valkeys:
        process.kill()
    service.start()
    say(f"kill -9 of the service and of {len(valkeys)} Valkey")


def unfinished(client: Client) -> bool:
    return any(list(client.list(status=status, limit=1)) for status in ("queued", "starting", "running"))


def is_open(client: Client) -> bool:
    return bool(list(client.list_deliveries("pending", limit=1)))


def until_delivered(client: Client, task_ids: Iterable[str], *, again: bool = False) -> None:
    left = set(task_ids)

    def look() -> bool:
        left.difference_update({task_id for task_id in left if client.get(task_id).delivery.status == "delivered"})
        if left and again:
            client.redeliver_dead()
        return not left

    eventually(look, seconds=LIMIT_SECONDS, of="all to be delivered")


def judge_working(receiver: Misbehaving, task_ids: list[str], key: str) -> list[str]:
    ids: dict[str, set[str]] = defaultdict(set)
    faults = []
    for one in list(receiver.received):
        ids[one.headers["webhook-id"]].add(one.body.decode())
        try:
            verify(one.headers, one.body, [key], tolerance_seconds=3600)
        except SignatureInvalid as fault:
            faults.append(f"{one.headers['webhook-id']}: {fault}")
    faults += [f"{task_id} has not come" for task_id in task_ids if f"msg_{task_id}" not in ids]
    return faults + [f"{name} has {len(bodies)} bodies" for name, bodies in ids.items() if len(bodies) > 1]


def judge_others(client: Client, of_kind: dict[str, list[str]]) -> list[str]:
    faults = []
    for kind, reasons in REASONS.items():
        for task_id in of_kind[kind]:
            delivery = client.get(task_id).delivery
            told = delivery.last_error or ""
            waits_for_first = delivery.attempts == 0 and delivery.status in {"pending", "sending"}
            if delivery.status not in {"pending", "sending", "dead"}:
                faults.append(f"{task_id} ({kind}) is {delivery.status}")
            elif not waits_for_first and not any(told.startswith(reason) for reason in reasons):
                faults.append(f"{task_id} ({kind}) is {delivery.status} because {told!r}")
    return faults


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
