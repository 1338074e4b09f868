"""What happens around the service: rights, quotas, Redis, replicas, roll-outs. Each test leaves the release whole."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import contextmanager

import pytest

from tests.e2e.audit import created_jobs, events, most_unfinished
from tests.e2e.processes import processes_of
from tests.e2e.release import Release, until

TAKE_OVER_SECONDS = 15
PROBED_SECONDS = 40
SMALL = {"requests": {"cpu": "10m", "memory": "64Mi"}}


@pytest.fixture(scope="module")
def values():
    return {"settings": {"concurrency": 4, "grace_seconds": 3}, "taskPods": {"resources": SMALL}}


def done(release, task_id, seconds=90):
    seen = release.ended(task_id, seconds)
    assert seen["task_status"] == "done", seen
    return seen


def test_without_the_right_to_create_jobs_tasks_wait_and_go_on_by_themselves(release):
    rules = release.get("role", release.prefix)["rules"]
    without = [
        rule | {"verbs": [verb for verb in rule["verbs"] if verb != "create"]}
        if rule["resources"] == ["jobs"]
        else rule
        for rule in rules
    ]
    set_rules(release, without)
    try:
        task_id = release.submit("sleep", {"seconds": 0})
        assert 'cannot create resource "jobs"' in release.waits_for(task_id, "cluster_refuses")
    finally:
        set_rules(release, rules)
    done(release, task_id)


def set_rules(release, rules):
    change = [{"op": "replace", "path": "/rules", "value": rules}]
    release.kubectl("patch", "role", release.prefix, "--type=json", "--patch", json.dumps(change))


def test_a_quota_is_waited_for_and_no_attempt_is_counted(release):
    quota = of_kind("ResourceQuota", {"hard": {"count/jobs.batch": "9", "limits.memory": "1Mi"}})
    with made(release, quota):
        until(
            lambda: release.get("resourcequota", "tight").get("status", {}).get("used"), 30, "the quota to be in force"
        )
        task_id = release.submit("sleep", {"seconds": 0})
        assert "exceeded quota" in release.waits_for(task_id, "quota")
        release.when(task_id, lambda task: task["task_status"] == "queued" and task["attempt"] == 1, 30)
    done(release, task_id)


def test_a_limit_range_that_refuses_the_pod_is_told(release):
    limits = {"type": "Container", "max": {"memory": "1Gi"}, "min": {"memory": "100Mi"}}
    with made(release, of_kind("LimitRange", {"limits": [limits]})):
        task_id = release.submit("sleep", {"seconds": 0})
        assert "minimum memory usage" in release.waits_for(task_id, "pod_refused")
    done(release, task_id)


def of_kind(kind, spec):
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "tight"}, "spec": spec}


@contextmanager
def made(release, manifest):
    """An object that is there for the time of a test."""
    release.kubectl("create", "-f", "-", given=json.dumps(manifest))
    try:
        yield
    finally:
        release.kubectl("delete", manifest["kind"], manifest["metadata"]["name"])


def rolled_out(release):
    release.kubectl("rollout", "status", f"deployment/{release.prefix}", "--timeout=120s")
    until(lambda: len(release.pods("service")) == 2, 90, "the old pods to be gone")


def test_what_ended_while_the_service_was_away_is_what_its_runner_said(release, receiver):
    ended = release.submit("sleep", {"seconds": 15}, receiver.url)
    vanished = release.submit("sleep", {"seconds": 30}, receiver.url)
    release.running(ended)
    release.running(vanished)
    release.kubectl("scale", "deployment", release.prefix, "--replicas=0")
    try:
        until(lambda: not release.pods("service"), 14, "the service to be gone")
        assert receiver.of(ended)["status"] == "done"
        release.kubectl("delete", "job", f"tp-{ended}-1", f"tp-{vanished}-1")
    finally:
        release.kubectl("scale", "deployment", release.prefix, "--replicas=2")
        rolled_out(release)
    assert done(release, ended)["attempt"] == 1
    assert done(release, vanished)["attempt"] == 2


def test_a_leader_that_dies_is_followed_in_less_than_fifteen_seconds(release):
    pod = leading_pod(release)
    began = time.monotonic()
    kill(release, pod, signal.SIGKILL)
    release.running(release.submit("sleep", {"seconds": 1}), TAKE_OVER_SECONDS)
    print(f"\na task runs that was submitted after kill -9 of the leader: {time.monotonic() - began:.1f} s")
    rolled_out(release)


def test_a_leader_that_slept_does_no_harm(release, receiver):
    pod, owner = leading_pod(release), leading_owner(release)
    task_ids = [release.submit("sleep", {"seconds": 4}, receiver.url) for _ in range(12)]
    release.running(task_ids[0])
    kill(release, pod, signal.SIGSTOP)
    try:
        until(lambda: leading_owner(release) not in {owner, ""}, 30, "another leader")
        release.when(task_ids[6], lambda task: task["task_status"] in {"running", "done"})
    finally:
        kill(release, pod, signal.SIGCONT)
    for task_id in task_ids:
        assert done(release, task_id)["attempt"] == 1
        assert receiver.of(task_id)["status"] == "done"
    rolled_out(release)


def leading_owner(release):
    """The name in the leader's lease; empty if nobody has it."""
    return release.valkey("GET", f"{{taskpost:{release.prefix}}}:leader")


def leading_pod(release):
    owner = until(lambda: leading_owner(release), 30, "a leader")
    for pod in release.pods("service"):
        name = pod["metadata"]["name"]
        if f'"event": "leadership_taken", "owner": "{owner}"' in release.kubectl("logs", name):
            return name
    raise AssertionError(f"no pod says that it is {owner}")


def kill(release, pod, number):
    """Signal the service in a pod, from outside of it."""
    raw = next(found for found in release.pods("service") if found["metadata"]["name"] == pod)
    serving = [process.pid for process in processes_of([raw]) if "serve" in process.cmdline()]
    if not serving and not release.on_our_node():
        pytest.skip("processes of pods are not seen from here")
    (found,) = serving
    os.kill(found, number)


def test_a_roll_out_under_load_loses_and_doubles_nothing(release, receiver):
    task_ids = [release.submit("sleep", {"seconds": number % 3}, receiver.url) for number in range(24)]
    release.kubectl("rollout", "restart", f"deployment/{release.prefix}")
    rolled_out(release)
    for task_id in task_ids:
        assert done(release, task_id)["attempt"] == 1
        assert receiver.of(task_id)["status"] == "done"


def test_without_redis_the_service_is_not_ready_and_is_not_restarted(release):
    before = {pod["metadata"]["name"] for pod in release.pods("service")}
    scale_valkey(release, 0)
    until(lambda: not any(map(is_ready, release.pods("service"))), PROBED_SECONDS, "no replica to be ready")
    scale_valkey(release, 1)
    until(lambda: release.pods("valkey") and all(map(is_ready, release.pods("valkey"))), 60, "Valkey to be ready")
    until(lambda: all(map(is_ready, release.pods("service"))), PROBED_SECONDS, "all replicas to be ready")
    after = release.pods("service")
    assert {pod["metadata"]["name"] for pod in after} == before
    assert (
        sum(pod["status"]["containerStatuses"][0]["restartCount"] for pod in after) <= 1
    )  # the leader that was killed


def scale_valkey(release, replicas):
    release.kubectl("scale", "statefulset", f"{release.prefix}-valkey", f"--replicas={replicas}")
    until(lambda: len(release.pods("valkey")) == replicas, 60, f"{replicas} pods of Valkey")


def is_ready(pod):
    return all(container["ready"] for container in pod["status"].get("containerStatuses", [{"ready": False}]))


def test_when_redis_is_killed_all_tasks_end(release, receiver):
    task_ids = [release.submit("sleep", {"seconds": 5}, receiver.url) for _ in range(25)]
    release.running(task_ids[0])
    release.kubectl(
        "delete", "pod", f"{release.prefix}-valkey-0", "--grace-period=0", "--force", "--wait=false", warns=True
    )
    for task_id in task_ids:
        done(release, task_id)
        assert receiver.of(task_id)["status"] == "done"


def test_when_redis_forgets_everything_the_jobs_are_removed_and_new_tasks_run(release):
    task_id = release.submit("sleep", {"seconds": 100})
    release.running(task_id)
    scale_valkey(release, 0)
    release.kubectl("delete", "pvc", f"data-{release.prefix}-valkey-0")
    scale_valkey(release, 1)
    until(lambda: release.call("GET", f"/api/tasks/{task_id}").status_code == 404, 30)
    until(lambda: not release.job_and_pods_of(task_id), 60, "its Job to be removed")
    done(release, release.submit("sleep", {"seconds": 0}))


def test_the_limit_holds_while_it_is_changed_and_leaders_die(make_namespace):
    release = Release(make_namespace("limit"), {"settings": {"concurrency": 2, "grace_seconds": 3}}).install()
    task_ids = [release.submit("sleep", {"seconds": 1}) for _ in range(20)]
    kill(release, leading_pod(release), signal.SIGKILL)
    release.ended(task_ids[3], 90)
    mine = created_jobs(events(release.namespace))
    assert most_unfinished(events(release.namespace)) == 2
    release.upgrade(settings={"concurrency": 5, "grace_seconds": 3})
    release.ended(task_ids[12], 90)
    release.upgrade(settings={"concurrency": 1, "grace_seconds": 3})
    rolled_out(release)
    task_ids += [release.submit("sleep", {"seconds": 1}) for _ in range(4)]
    assert {done(release, task_id)["attempt"] for task_id in task_ids} == {1}
    changes = events(release.namespace)
    assert most_unfinished(changes) <= 5
    assert len(created_jobs(changes)) == len(task_ids) > len(mine)
    last = [name for name in created_jobs(changes) if any(task_id in name for task_id in task_ids[-3:])]
    assert most_unfinished(changes, last) == 1
    release.uninstall()
