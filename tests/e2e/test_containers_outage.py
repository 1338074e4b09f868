"""Redis is away while programs end: for less time than their runners have, and for more."""

from __future__ import annotations

import threading

import pytest

from runner.contract import SIDECAR_GRACE_SECONDS

SHORT_SECONDS = 20
PROGRAM = {
    "image": "localhost/taskpost-program:latest",
    "command": ["/program"],
    "input_schema": {"type": "object"},
    "pod": {"resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}},
}


@pytest.fixture(scope="module")
def values():
    return {"settings": {"concurrency": 4}, "taskTypes": {"program": PROGRAM}}


@pytest.mark.parametrize(
    ("away_seconds", "attempt"), [(SHORT_SECONDS, 1), (SIDECAR_GRACE_SECONDS + 15, 2)], ids=["short", "long"]
)
def test_a_result_is_handed_over_as_long_as_there_is_grace(release, receiver, away_seconds, attempt):
    task_id = release.submit("program", {"do": [["sleep", 8], ["write", "result.json", "[1]"]]}, receiver.url)
    release.running(task_id)
    valkey = f"statefulset/{release.prefix}-valkey"
    release.kubectl("scale", valkey, "--replicas=0")
    threading.Event().wait(away_seconds)  # its length is what is tested
    release.kubectl("scale", valkey, "--replicas=1")
    release.kubectl("rollout", "status", valkey, "--timeout=60s")
    outcome = receiver.of(task_id, 120)
    assert (outcome["status"], outcome["result"], outcome["attempt"]) == ("done", [1], attempt)
    past = release.task(task_id)["attempts"]
    assert [one["reason"]["code"] for one in past] == ["attempt_lost"] * (attempt - 1)
    assert all("did not hand the result over" in one["reason"]["message"] for one in past)
