"""Jobs that are suspended and released while their tasks run, with and without a moment for the service to see it."""

from __future__ import annotations

import time

import pytest

from tests.e2e.release import until
from tests.e2e.test_containers import PROGRAM, SMALL_RUNNER

STUBBORN_SECONDS = 20


@pytest.fixture(scope="module")
def values():
    return {
        # The result's grace is long: what ends soon here is not ended by it.
        "settings": {"concurrency": 4, "grace_seconds": 30, "result_grace_seconds": 120},
        "taskPods": {"sidecarResources": SMALL_RUNNER},
        "taskTypes": {"program": PROGRAM},
    }


def suspend_and_release_at_once(release, task_id):
    """Suspend its Job, and release it as soon as its pod is gone."""
    uid = release.pod_of(task_id)["metadata"]["uid"]
    release.suspend(task_id, suspended=True)

    def is_gone():
        pods = release.get("pods", "-l", f"taskpost.dev/task-id={task_id}")["items"]
        return all(pod["metadata"]["uid"] != uid for pod in pods)

    until(is_gone, 90, "its pod to be gone", poll_seconds=0.1)
    release.suspend(task_id, suspended=False)


@pytest.mark.parametrize("time_number", range(2))
def test_function_released_at_once_runs_again_under_the_same_attempt(release, receiver, time_number):
    task_id = release.submit("sleep", {"seconds": 6}, receiver.url)
    release.running(task_id)
    suspend_and_release_at_once(release, task_id)
    outcome = receiver.of(task_id, 90)
    assert (outcome["status"], outcome["attempt"]) == ("done", 1)
    task = release.task(task_id)
    assert [past["reason"]["code"] for past in task["attempts"]] == ["suspended"]


@pytest.mark.parametrize("time_number", range(2))
def test_program_released_at_once_runs_again_under_the_same_attempt(release, receiver, time_number):
    task_id = release.submit("program", {"do": [["sleep", 5], ["write", "result.json", "1"]]}, receiver.url)
    release.running(task_id)
    suspend_and_release_at_once(release, task_id)
    outcome = receiver.of(task_id, 90)
    assert (outcome["status"], outcome["attempt"], outcome["result"]) == ("done", 1, 1)


def test_program_that_ignores_sigterm_is_released_while_it_still_ends(release, receiver):
    do = [["ignore_sigterm"], ["sleep", STUBBORN_SECONDS], ["write", "result.json", "1"]]
    task_id = release.submit("program", {"do": do}, receiver.url)
    release.running(task_id)
    time.sleep(1)  # it has to have its handler
    release.suspend(task_id, suspended=True)
    time.sleep(4)  # as the issue has it
    release.suspend(task_id, suspended=False)
    outcome = receiver.of(task_id, 150)
    assert (outcome["status"], outcome["result"]) == ("done", 1)


def test_suspended_tasks_hold_no_slot(release):
    """Four slots and four suspended Jobs: others still run, and no more of that type are started."""
    held = [release.submit("sleep", {"seconds": 600}) for _ in range(4)]
    for task_id in held:
        release.running(task_id)
        release.suspend(task_id, suspended=True)
    for task_id in held:
        release.waits_for(task_id, "suspended")
    done = release.submit("program", {"do": [["write", "result.json", "1"]]})
    assert release.ended(done)["task_status"] == "done"
    more = release.submit("sleep", {"seconds": 0})
    other = release.submit("program", {"do": [["write", "result.json", "1"]]})
    assert release.ended(other)["task_status"] == "done"
    assert release.task(more)["task_status"] == "queued", "as many are suspended as may be"
    for task_id in held:
        release.call("DELETE", f"/api/tasks/{task_id}")
    assert release.ended(more)["task_status"] == "done"
