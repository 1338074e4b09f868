"""What becomes of tasks in a cluster: all are submitted at once to one release, and each test looks at its own."""

from __future__ import annotations

import json
import re
import threading
import time

import pytest

from tests.e2e.own_types import mount_types
from tests.e2e.policies import denying, has_mutating_policies, injecting, policy, suspending
from tests.e2e.release import Release, run, until

START_DEADLINE_SECONDS = 40
GRACE_SECONDS = 3
SMALL = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}
SIDECAR = "with_sidecar"


@pytest.fixture(scope="module")
def values(namespace):
    return {
        "settings": {
            "concurrency": 30,
            "start_deadline_seconds": START_DEADLINE_SECONDS,
            "grace_seconds": GRACE_SECONDS,
            "task_modules": ["e2e_types"],
        },
        **mount_types(namespace, resources=SMALL),
        "taskTypes": {
            "no_image": {"image": "localhost/no-such-image:latest"},
            "bad_name": {"image": f"localhost/{'a' * 256}"},  # the path of a name has 255 characters at most
            "flaky": {"retries": 1},
            "nowhere": {"pod": {"nodeSelector": {"no": "such-node"}}},
            "writer": {"pod": {"resources": {"limits": {"ephemeral-storage": "20Mi"}}}},
        },
    }


@pytest.fixture(scope="module")
def submitted(release, receiver):
    """The ids of all tasks here, by a word."""
    given = {
        "fibonacci": ("fibonacci", {"n": 1000}, {}),
        "primes": ("prime_numbers", {"limit": 1000, "list": True}, {}),
        "sleep": ("sleep", {"seconds": 1}, {}),
        "no_image": ("no_image", {}, {}),
        "nowhere": ("nowhere", {}, {}),
        "cancelled_starting": ("nowhere", {}, {}),
        "hog": ("hog", {}, {}),
        "hog_child": ("hog_child", {}, {}),
        "writer": ("writer", {}, {}),
        "crash": ("crash", {}, {}),
        "raises": ("raises", {}, {}),
        "talks_too_long": ("talks", {}, {"timeout_seconds": 3}),
        "bad_name": ("bad_name", {}, {}),
        "keeper": ("keeper", {}, {}),
        "flaky": ("flaky", {}, {}),
        "too_long": ("sleep", {"seconds": 60}, {"timeout_seconds": 2}),
        "job_deleted": ("sleep", {"seconds": 100}, {}),
        "pod_deleted": ("sleep", {"seconds": 12}, {}),
        "evicted": ("sleep", {"seconds": 12}, {}),
        "cancelled_running": ("sleep", {"seconds": 100}, {}),
    }
    return {word: release.submit(name, what, receiver.url, **more) for word, (name, what, more) in given.items()}


def test_why_a_pod_is_not_scheduled_is_shown_within_five_seconds(release, submitted):
    task_id = submitted["nowhere"]

    def unscheduled():
        pods = release.get("pods", "-l", f"taskpost.dev/task-id={task_id}")["items"]
        conditions = pods[0].get("status", {}).get("conditions", []) if pods else []
        return [found["message"] for found in conditions if found.get("reason") == "Unschedulable"]

    words = until(unscheduled, 30)[0]
    assert words in release.waits_for(task_id, "unschedulable", 5)
    assert release.task(task_id)["task_status"] == "starting"


def test_why_an_image_is_not_pulled_is_shown_within_five_seconds(release, submitted):
    task_id = submitted["no_image"]

    def unpulled():
        pods = release.get("pods", "-l", f"taskpost.dev/task-id={task_id}")["items"]
        statuses = pods[0].get("status", {}).get("containerStatuses", []) if pods else []
        return [status["state"]["waiting"] for status in statuses if "Image" in str(status["state"].get("waiting"))]

    words = until(unpulled, 60)[0]
    assert words["reason"] in {"ErrImagePull", "ImagePullBackOff"}
    assert "no-such-image" in release.waits_for(task_id, "image", 5)


def test_a_task_that_is_starting_is_cancelled(release, disturbed, receiver):
    cancelled(release, receiver, disturbed["cancelled_starting"])


@pytest.fixture(scope="module")
def disturbed(release, submitted):
    """The same, when somebody has deleted a pod and a Job and evicted another pod, each while it ran."""
    for word in ("pod_deleted", "evicted", "job_deleted"):
        release.running(submitted[word])
    release.kubectl("delete", "pod", "-l", f"taskpost.dev/task-id={submitted['pod_deleted']}", "--wait=false")
    release.kubectl("delete", "job", f"tp-{submitted['job_deleted']}-1", "--wait=false")
    pod = release.get("pods", "-l", f"taskpost.dev/task-id={submitted['evicted']}")["items"][0]["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    path = f"/api/v1/namespaces/{release.namespace}/pods/{pod}/eviction"
    run("kubectl", "create", "--raw", path, "-f", "-", given=json.dumps(eviction))
    return submitted


@pytest.mark.parametrize("word", ["pod_deleted", "evicted"])
def test_a_pod_that_is_taken_away_is_a_lost_attempt(release, disturbed, receiver, word):
    seen = release.ended(disturbed[word])
    assert (seen["task_status"], seen["attempt"]) == ("done", 2)
    assert receiver.of(disturbed[word])["attempt"] == 2


def test_a_job_that_is_deleted_by_hand_fails_its_task(release, disturbed, receiver):
    seen = release.ended(disturbed["job_deleted"], 60)
    assert (seen["task_status"], seen["error"]["code"]) == ("failed", "job_deleted")
    assert receiver.of(disturbed["job_deleted"])["error"]["code"] == "job_deleted"


def test_a_task_that_runs_is_cancelled(release, submitted, receiver):
    release.running(submitted["cancelled_running"])
    cancelled(release, receiver, submitted["cancelled_running"])


def cancelled(release, receiver, task_id):
    """Within the grace period and ten seconds nothing of it is left, and only this is what its receiver hears."""
    began = time.monotonic()
    assert release.call("DELETE", f"/api/tasks/{task_id}").status_code == 200
    until(lambda: not release.job_and_pods_of(task_id), GRACE_SECONDS + 10 - (time.monotonic() - began), "nothing left")
    assert receiver.of(task_id)["status"] == "cancelled"
    seen = release.when(task_id, lambda task: task["delivery"]["status"] == "delivered")
    assert (seen["task_status"], seen["delivery"]["attempts"]) == ("cancelled", 1)


def test_tasks_are_cancelled_in_the_moments_between_job_and_pod(release, receiver):
    pauses = [0.0, 0.05, 0.1, 0.2, 0.4]
    task_ids = []
    for pause in pauses:
        task_ids.append(release.submit("sleep", {"seconds": 100}, receiver.url))
        time.sleep(pause)  # the moment is what is tried
        assert release.call("DELETE", f"/api/tasks/{task_ids[-1]}").status_code == 200
    until(lambda: not any(map(release.job_and_pods_of, task_ids)), GRACE_SECONDS + 10, "nothing left")
    assert {release.task(task_id)["task_status"] for task_id in task_ids} == {"cancelled"}
    assert {receiver.of(task_id)["status"] for task_id in task_ids} == {"cancelled"}


@pytest.mark.parametrize(
    ("word", "result"),
    [
        ("fibonacci", {"n": 1000, "digits": 209}),
        ("primes", {"limit": 1000, "count": 168, "largest": 997}),
        ("sleep", {"slept_seconds": 1.0}),
    ],
)
def test_every_type_is_done_and_its_signed_callback_came(release, submitted, receiver, word, result):
    task_id = submitted[word]
    seen = release.ended(task_id)
    assert (seen["task_status"], seen["task_percent_done"], seen["attempt"]) == ("done", 100.0, 1)
    outcome = receiver.of(task_id)
    assert outcome["result"] | result == outcome["result"]
    release.when(task_id, lambda task: task["delivery"]["status"] == "delivered")


@pytest.mark.parametrize(
    ("word", "code", "words"),
    [
        ("hog", "out_of_memory", "OOMKilled"),
        ("hog_child", "out_of_memory", "OOMKilled"),
        ("crash", "crashed", "exit code 7 and recorded no outcome. Its last output: these are my last words"),
        ("bad_name", "cannot_start", "InvalidImageName"),
        ("too_long", "timed_out", "longer than its 2 seconds"),
        ("no_image", "cannot_start", "ImagePull"),
        ("nowhere", "cannot_start", "Unschedulable"),
        ("writer", "out_of_storage", "ephemeral"),  # the kubelet looks once a minute
    ],
)
def test_how_a_task_failed_is_told_and_nothing_is_left_of_it(release, submitted, receiver, word, code, words):
    task_id = submitted[word]
    seen = release.ended(task_id, 180)
    assert (seen["task_status"], seen["error"]["code"]) == ("failed", code)
    assert words in seen["error"]["message"]
    assert receiver.of(task_id)["error"] == seen["error"]
    until(lambda: not release.job_and_pods_of(task_id), 30, "nothing left")


def log_of(release, task_id):
    """The output of all attempts, when the newest one is complete."""

    def settled():
        found = release.call("GET", f"/api/tasks/{task_id}/log").json()["attempts"]
        return found and found[-1]["complete"] and found

    return "".join(attempt["output"] for attempt in until(settled, 30, "the log"))


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("crash", "these are my last words"),  # it ended with nothing recorded
        ("hog", "hogging"),  # the kernel killed it
        ("talks_too_long", "still talking"),  # its Job was deleted at its deadline
        ("flaky", "in flaky"),  # it raised
    ],
)
def test_what_a_task_has_written_is_kept_when_its_pod_is_gone(release, submitted, word, words):
    task_id = submitted[word]
    release.ended(task_id, 180)
    until(lambda: not release.job_and_pods_of(task_id), 30, "nothing left")
    assert words in log_of(release, task_id)


def test_an_exception_names_the_line_of_the_task_s_own_code(release, submitted):
    seen = release.ended(submitted["raises"])
    assert re.fullmatch(r"KeyError: 'no such key' \(e2e_types\.py, line \d+\)", seen["error"]["message"])
    assert "Traceback" in log_of(release, submitted["raises"])


def test_a_task_that_runs_shows_what_it_has_written_so_far(release):
    task_id = release.submit("talks", {})
    path = f"/api/tasks/{task_id}/log"
    until(lambda: "still talking" in release.call("GET", path).text, 60, "its first words")
    assert release.call("GET", path).json()["attempts"][-1]["complete"] is False
    release.call("DELETE", f"/api/tasks/{task_id}")
    assert "still talking" in log_of(release, task_id)


def test_who_asks_for_it_is_tried_again(release, submitted, receiver):
    outcome = receiver.of(submitted["flaky"])
    assert (outcome["status"], outcome["result"], outcome["attempt"]) == ("done", "2", 2)
    (past,) = release.task(submitted["flaky"])["attempts"]
    assert past["reason"] == {"code": "task_error", "message": "not today"}


def test_what_was_saved_survives_a_lost_attempt(release, submitted, receiver):
    task_id = submitted["keeper"]
    release.when(task_id, lambda task: task["progress_message"] == "saved what there is")
    release.kubectl("delete", "pod", "-l", f"taskpost.dev/task-id={task_id}", "--wait=false")
    outcome = receiver.of(task_id)
    assert (outcome["status"], outcome["result"], outcome["attempt"]) == ("done", {"attempt": "1"}, 2)


def test_what_can_never_start_does_not_wait_for_its_deadline(release, submitted):
    seen = {word: release.ended(submitted[word]) for word in ("bad_name", "no_image")}
    ends = {word: task["finished_at"] for word, task in seen.items()}
    assert ends["bad_name"] < ends["no_image"]


def test_a_policy_that_denies_a_job_fails_its_task_in_its_own_words(release):
    with policy(denying(release.namespace, "denied", "no cost-center is named")):
        seen = release.ended(release.submit("denied", {}))
        assert (seen["task_status"], seen["error"]["code"]) == ("failed", "rejected")
        assert "no cost-center is named" in seen["error"]["message"]
        assert release.ended(release.submit("sleep", {"seconds": 0}))["task_status"] == "done"


def test_a_job_that_is_suspended_waits_and_runs_when_it_is_released(release):
    if not has_mutating_policies():
        pytest.skip("this Kubernetes has no MutatingAdmissionPolicy to suspend it by")
    with policy(suspending(release.namespace, "held")):
        task_id = release.submit("held", {})
        assert "uspended" in release.waits_for(task_id, "suspended")
        threading.Event().wait(START_DEADLINE_SECONDS + 3)  # that it is over is what is tried
        assert release.task(task_id)["task_status"] == "starting"
        release.suspend(task_id, suspended=False)
        seen = release.ended(task_id)
        assert (seen["task_status"], seen["attempt"]) == ("done", 1)


def test_a_job_that_is_suspended_while_it_runs_starts_again(release):
    task_id = release.submit("sleep", {"seconds": 5})
    release.running(task_id)
    release.suspend(task_id, suspended=True)
    release.waits_for(task_id, "suspended")
    release.when(task_id, lambda task: task["task_status"] == "starting")
    release.suspend(task_id, suspended=False)
    seen = release.ended(task_id)
    assert (seen["task_status"], seen["attempt"]) == ("done", 1)


def test_a_sidecar_that_never_ends_does_not_hold_its_task(release):
    if not has_mutating_policies():
        pytest.skip("this Kubernetes has no MutatingAdmissionPolicy to put a sidecar in by")
    image = "localhost/taskpost-runner:latest"
    with policy(injecting(release.namespace, SIDECAR, image)):
        task_id = release.submit(SIDECAR, {})
        assert release.ended(task_id)["task_status"] == "done"
        until(lambda: not release.job_and_pods_of(task_id), 60, "nothing left")


def test_settings_of_task_pods_reach_the_pods(make_namespace):
    pods = {
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "affinity": {
            "nodeAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 1,
                        "preference": {"matchExpressions": [{"key": "no-such-label", "operator": "DoesNotExist"}]},
                    }
                ]
            }
        },
        "priorityClassName": "system-cluster-critical",
        "serviceAccountName": "default",
        "imagePullSecrets": ["a-registry"],
        "annotations": {"sidecar.istio.io/inject": "false"},
        "labels": {"team": "numbers"},
        "env": [{"name": "LANG", "value": "C.UTF-8"}],
        "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}}],
        "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
        "resources": SMALL,
    }
    # Only kube-system may use that class unless a quota admits it, where quotas are set up so; here all may.
    release = Release(make_namespace("pods"), {"taskPods": pods, "replicaCount": 1}).install()
    task_id = release.submit("sleep", {"seconds": 1})
    release.running(task_id)
    live = release.get("pods", "-l", f"taskpost.dev/task-id={task_id}")["items"][0]
    spec, container = live["spec"], live["spec"]["containers"][0]
    assert spec["nodeSelector"] == pods["nodeSelector"]
    assert pods["tolerations"][0] in spec["tolerations"]
    assert spec["affinity"] == pods["affinity"]
    assert spec["priorityClassName"] == pods["priorityClassName"]
    assert spec["serviceAccountName"] == "default"
    assert spec["imagePullSecrets"] == [{"name": "a-registry"}]
    assert live["metadata"]["annotations"]["sidecar.istio.io/inject"] == "false"
    assert live["metadata"]["labels"]["team"] == "numbers"
    assert pods["env"][0] in container["env"]
    assert pods["volumes"][0] in spec["volumes"]
    assert pods["volumeMounts"][0] in container["volumeMounts"]
    assert container["resources"]["limits"]["memory"] == "128Mi"
    assert release.ended(task_id)["task_status"] == "done"
    release.uninstall()
