"""Under Kueue, as docs/kubernetes.md describes it. `tests/cluster/cluster.sh kueue` installs it."""

from __future__ import annotations

import re
import time

import pytest
import yaml

from tests.e2e.release import ROOT, run, until
from tests.e2e.test_containers import PROGRAM, SMALL_RUNNER

pytestmark = pytest.mark.kueue
START_DEADLINE_SECONDS = 60
TINY = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "128Mi", "ephemeral-storage": "64Mi"}}
HUGE = {"requests": {"cpu": "2", "memory": "64Mi"}, "limits": {"memory": "128Mi", "ephemeral-storage": "64Mi"}}


def documented_queues():
    """The ClusterQueue that the documentation gives, with a quota that this node has."""
    text = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(apiVersion: kueue.*?)```", text, re.DOTALL)
    return [document for document in yaml.safe_load_all(block) if document]


@pytest.fixture(scope="module")
def values(namespace):
    if "kueue-system" not in run("kubectl", "get", "namespaces", "-o", "name"):
        pytest.skip("this cluster has no Kueue")
    objects = documented_queues()
    for one in objects:
        one["metadata"]["name"] = namespace
        if one["kind"] == "LocalQueue":
            one["metadata"]["namespace"] = namespace
            one["spec"]["clusterQueue"] = namespace
        if one["kind"] == "ClusterQueue":
            (group,) = one["spec"]["resourceGroups"]
            (flavor,) = group["flavors"]
            flavor["name"] = namespace
            (cpu,) = [resource for resource in flavor["resources"] if resource["name"] == "cpu"]
            cpu["nominalQuota"] = 1
    priorities = [
        {
            "apiVersion": "kueue.x-k8s.io/v1beta2",
            "kind": "WorkloadPriorityClass",
            "metadata": {"name": f"{namespace}-{name}"},
            "value": value,
        }
        for name, value in (("low", 100), ("high", 1000))
    ]
    run("kubectl", "apply", "-f", "-", given=yaml.safe_dump_all([*objects, *priorities]))
    half = {"requests": {"cpu": "600m", "memory": "64Mi"}, "limits": {"memory": "128Mi", "ephemeral-storage": "64Mi"}}

    def priority(name):
        return {"jobLabels": {"kueue.x-k8s.io/priority-class": f"{namespace}-{name}"}}

    sleep = {"python": "runner.tasks.sleep:sleep", "input_schema": {"type": "object"}}
    yield {
        "settings": {
            "concurrency": 3,
            "suspended_concurrency": 4,
            "start_deadline_seconds": START_DEADLINE_SECONDS,
            "grace_seconds": 3,
        },
        "taskPods": {"queueName": namespace, "sidecarResources": SMALL_RUNNER},
        "taskTypes": {
            "huge": sleep | {"pod": {"resources": HUGE}},
            "tiny": sleep | {"pod": {"resources": TINY}},
            "low": sleep | {"pod": {"resources": half} | priority("low")},
            "high": sleep | {"pod": {"resources": half} | priority("high")},
            "low_program": PROGRAM | {"pod": {"resources": half} | priority("low")},
            "nowhere": sleep | {"pod": {"resources": TINY, "nodeSelector": {"no-such": "node"}}},
        },
    }
    run("kubectl", "delete", "clusterqueue,resourceflavor", namespace, "--wait=false", warns=True)
    run(
        "kubectl",
        "delete",
        "workloadpriorityclass",
        f"{namespace}-low",
        f"{namespace}-high",
        "--wait=false",
        warns=True,
    )


def test_task_with_the_default_pod_is_admitted_and_runs(release, receiver):
    outcome = receiver.of(release.submit("sleep", {"seconds": 1}, receiver.url))
    assert (outcome["status"], outcome["attempt"]) == ("done", 1)


def test_tasks_that_are_not_admitted_say_why_and_leave_others_their_slots(release):
    held = [release.submit("huge", {"seconds": 1}) for _ in range(10)]
    assert "insufficient" in release.waits_for(held[0], "suspended").lower()
    until(lambda: release.task(held[3])["task_status"] == "starting", 60, "as many to be suspended as may be")
    for _ in range(3):
        assert release.ended(release.submit("tiny", {"seconds": 0}))["task_status"] == "done"
    assert release.task(held[-1])["task_status"] == "queued"
    for task_id in held:
        release.call("DELETE", f"/api/tasks/{task_id}")
    until(lambda: not release.jobs(), 60, "no Job to be left")


@pytest.mark.parametrize("task_type", ["low", "low_program"])
def test_preempted_task_says_so_soon_and_runs_afterwards(release, receiver, task_type):
    task_input = {"do": [["sleep", 8], ["write", "result.json", "1"]]} if task_type == "low_program" else {"seconds": 8}
    preempted = release.submit(task_type, task_input, receiver.url)
    release.running(preempted)
    before = time.monotonic()
    high = release.submit("high", {"seconds": 3})
    seen = release.when(preempted, lambda task: (task["waiting_reason"] or {}).get("code") == "suspended")
    assert "Kueue" in seen["waiting_reason"]["message"]
    release.running(high, 30)
    assert time.monotonic() - before < 30, "what is preempted does not keep its node for its whole grace"
    assert release.ended(high)["task_status"] == "done"
    outcome = receiver.of(preempted, 120)
    assert (outcome["status"], outcome["attempt"]) == ("done", 1)
    (past,) = release.task(preempted)["attempts"]
    assert past["reason"]["code"] == "suspended"
    assert "reempt" in past["reason"]["message"]


def test_task_that_can_never_start_fails_although_kueue_evicts_and_admits_it_again(release):
    """`waitForPodsReady` of the test cluster is 20 s: less than the start deadline."""
    seen = release.ended(release.submit("nowhere", {"seconds": 0}), 240)
    assert (seen["task_status"], seen["error"]["code"]) == ("failed", "cannot_start")
    assert "controller-manager" not in seen["error"]["message"]
