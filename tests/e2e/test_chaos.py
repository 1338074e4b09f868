"""200 tasks while everything around them dies: each has one end and one delivery id, and the limit is never passed."""

from __future__ import annotations

import random
import subprocess
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.e2e.audit import CLUSTER, created_jobs, events, most_unfinished
from tests.e2e.release import ENDED, Release, until

if TYPE_CHECKING:
    from tests.e2e.receiver import Receiver

pytestmark = pytest.mark.serial

TASKS = 200
SUBMITTED_WHILE_AWAY = 10
CONCURRENCY = 8
API_SERVER_AWAY_SECONDS = 60
BETWEEN_FAULTS_SECONDS = 12
DELETE_A_POD_EVERY_SECONDS = 2.0
LIMIT_SECONDS = 600


def test_every_task_has_one_end_whatever_dies(release, receiver):
    late = TASKS - SUBMITTED_WHILE_AWAY
    task_ids = [release.submit(*task(number), receiver.url, key=f"chaos-{number}") for number in range(late)]
    over = threading.Event()
    deleting = threading.Thread(target=delete_pods, args=(release, over), daemon=True)
    deleting.start()
    try:
        task_ids += make_faults(release, receiver, over)
        receiver.wait_for(TASKS, LIMIT_SECONDS)
    finally:
        over.set()
        deleting.join()
    outcomes = {task_id: receiver.of(task_id) for task_id in task_ids}
    shown = {task["task_id"]: task["task_status"] for task in release.call("GET", "/api/tasks?limit=1000").json()}
    assert shown == {task_id: outcome["status"] for task_id, outcome in outcomes.items()}
    assert set(shown.values()) <= ENDED
    until(lambda: not release.jobs(), 60, "no Job to be left")
    changes = events(release.namespace)
    print(
        f"\n{Counter(shown.values())}, {len(created_jobs(changes))} Jobs, {most_unfinished(changes)} at a time at most"
    )
    assert len(created_jobs(changes)) >= TASKS
    assert most_unfinished(changes) <= CONCURRENCY


def test_what_runs_ends_and_what_waits_runs_once_when_the_api_server_was_away(release, receiver):
    before = {pod["metadata"]["name"]: restarts(pod) for pod in release.pods("service")}
    at = f"http://{release.get('service', release.prefix)['spec']['clusterIP']}"
    task_ids = [release.submit("sleep", {"seconds": 5}, receiver.url) for _ in range(3)]
    for task_id in task_ids:
        release.running(task_id)
    subprocess.run([CLUSTER, "stop", "apiserver", "KILL"], check=True)
    try:
        late = [submit_at(at, "sleep", {"seconds": 0}, receiver.url) for _ in range(10)]
        assert [receiver.of(task_id)["status"] for task_id in task_ids] == ["done"] * 3
    finally:
        subprocess.run([CLUSTER, "start", "apiserver"], check=True)
    if None in late:  # no way to the service but through the API server
        late = [release.submit("sleep", {"seconds": 0}, receiver.url) for _ in range(10)]
    task_ids += [task_id for task_id in late if task_id]
    assert {receiver.of(task_id)["status"] for task_id in task_ids} == {"done"}
    assert {release.task(task_id)["attempt"] for task_id in task_ids} == {1}
    changes = events(release.namespace)
    assert sorted(created_jobs(changes)[-13:]) == sorted(f"tp-{task_id}-1" for task_id in task_ids)
    assert {pod["metadata"]["name"]: restarts(pod) for pod in release.pods("service")} == before


def restarts(pod: dict[str, Any]) -> int:
    return sum(status["restartCount"] for status in pod["status"]["containerStatuses"])


def task(number: int) -> tuple[str, dict[str, float]]:
    return (
        ("sleep", {"seconds": number % 4}),
        ("fibonacci", {"n": 10_000 + number}),
        ("sleep", {"seconds": 1}),
        ("prime_numbers", {"limit": 1_000_000}),
    )[number % 4]


def make_faults(release: Release, receiver: Receiver, over: threading.Event) -> list[str]:
    """Stop the API server, kill Valkey and roll the service; return the tasks that were submitted meanwhile."""
    address = release.get("service", release.prefix)["spec"]["clusterIP"]
    over.wait(BETWEEN_FAULTS_SECONDS)
    subprocess.run([CLUSTER, "stop", "apiserver", "KILL"], check=True)
    late = range(TASKS - SUBMITTED_WHILE_AWAY, TASKS)
    # A port-forward goes through the API server. What is in the cluster needs none, and on our own node nor do we.
    accepted = [submit_at(f"http://{address}", *task(number), receiver.url) for number in late]
    over.wait(API_SERVER_AWAY_SECONDS)
    subprocess.run([CLUSTER, "start", "apiserver"], check=True)
    if None in accepted:
        accepted = [release.submit(*task(number), receiver.url) for number in late]
    over.wait(BETWEEN_FAULTS_SECONDS)
    release.kubectl("delete", "pod", f"{release.prefix}-valkey-0", "--wait=false")
    over.wait(BETWEEN_FAULTS_SECONDS)
    release.kubectl("rollout", "restart", f"deployment/{release.prefix}")
    release.kubectl("rollout", "status", f"deployment/{release.prefix}", "--timeout=120s")
    return accepted


def submit_at(url: str, task_type: str, task_input: dict[str, float], result_url: str) -> str | None:
    """Submit a task at the service itself; None if there is no way there."""
    body = {"task_type": task_type, "task_input": task_input, "result_url": result_url}
    try:
        answer = httpx.post(f"{url}/api/tasks", json=body, timeout=5)
    except httpx.TransportError:
        return None
    assert answer.status_code == 202, answer.text
    return str(answer.json()["task"]["task_id"])


def delete_pods(release: Release, over: threading.Event) -> None:
    """Delete a task's pod every now and then; while the API server is away nothing can be."""
    chance = random.Random(7)
    while not over.wait(DELETE_A_POD_EVERY_SECONDS):
        try:
            pods = [pod["metadata"]["name"] for pod in release.pods("task")]
            if pods:
                release.kubectl("delete", "pod", chance.choice(pods), "--wait=false", "--ignore-not-found")
        except (AssertionError, ValueError):
            continue


@pytest.fixture(scope="module")
def values():
    return {"settings": {"concurrency": CONCURRENCY}}
