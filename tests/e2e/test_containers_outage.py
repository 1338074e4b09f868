"""Redis is away while programs end: for less time than their runners have, and for more."""

from __future__ import annotations

import threading

import pytest

GRACE_SECONDS = 40
PROGRAM = {
    "image": "localhost/taskpost-program:latest",
    "command": ["/program"],
    "input_schema": {"type": "object"},
    "pod": {"resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}},
}


@pytest.fixture(scope="module")
def values():
    return {"settings": {"concurrency": 4, "result_grace_seconds": GRACE_SECONDS}, "taskTypes": {"program": PROGRAM}}


@pytest.mark.parametrize(
    ("away_seconds", "attempt"), [(GRACE_SECONDS / 2, 1), (GRACE_SECONDS + 20, 2)], ids=["short", "long"]
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
