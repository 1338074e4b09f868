"""The Job of an attempt, as a whole."""

from __future__ import annotations

import json

import pytest

from api.core.observation import AttemptId
from api.executors.base import AttemptSpec
from api.executors.kubernetes.job import LABEL_TASK_ID, build_job, selector
from api.executors.kubernetes.pod_rules import pod_faults
from api.executors.kubernetes.pods import PodFileInvalid, PodSettings, read_pod_file
from api.executors.kubernetes.template import JobSettings, Owner
from tests.support.definitions import definition

TASK_ID = "01a2109e-ead6-7000-b548-10432404977a"
SPEC = AttemptSpec(
    AttemptId(TASK_ID, 2),
    "sleep",
    {
        "TASKPOST_REDIS_URL": "redis://:password@valkey",
        "TASKPOST_SIGNING_KEYS": "whsec_x",
        "TASKPOST_TASK_ID": TASK_ID,
        "TASKPOST_ATTEMPT": "2",
        "TASKPOST_TOKEN": "token",
    },
    timeout_seconds=60,
)
SETTINGS = JobSettings(instance="one", secret="taskpost-runner", start_deadline_seconds=600, grace_seconds=10)
LABELS = {
    "app.kubernetes.io/name": "taskpost-task",
    "app.kubernetes.io/component": "task",
    "app.kubernetes.io/part-of": "taskpost",
    "app.kubernetes.io/managed-by": "taskpost",
    "taskpost.dev/instance": "one",
    "taskpost.dev/task-id": TASK_ID,
    "taskpost.dev/task-type": "sleep",
    "taskpost.dev/attempt": "2",
}
UNREACHABLE = {
    "key": "node.kubernetes.io/unreachable",
    "operator": "Exists",
    "effect": "NoExecute",
    "tolerationSeconds": 60,
}
POD = {
    "restartPolicy": "Never",
    "automountServiceAccountToken": False,
    "enableServiceLinks": False,
    "terminationGracePeriodSeconds": 10,
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "tolerations": [UNREACHABLE],
    "containers": [
        {
            "name": "task",
            "image": "taskpost-runner",
            "env": [
                {"name": "TASKPOST_ATTEMPT", "value": "2"},
                {"name": "TASKPOST_REDIS_URL_FILE", "value": "/run/secrets/taskpost/redis-url"},
                {"name": "TASKPOST_SIGNING_KEYS_FILE", "value": "/run/secrets/taskpost/signing-keys"},
                {"name": "TASKPOST_TASK_ID", "value": TASK_ID},
                {"name": "TASKPOST_TOKEN", "value": "token"},
                {"name": "TASKPOST_HOLDER", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
            ],
            "resources": {
                "requests": {"cpu": "100m", "memory": "128Mi"},
                "limits": {"memory": "512Mi", "ephemeral-storage": "1Gi"},
            },
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            },
            "volumeMounts": [
                {"name": "tmp", "mountPath": "/tmp"},
                {"name": "taskpost", "mountPath": "/run/secrets/taskpost", "readOnly": True},
            ],
        }
    ],
    "volumes": [
        {"name": "tmp", "emptyDir": {}},
        {"name": "taskpost", "secret": {"secretName": "taskpost-runner", "defaultMode": 0o444}},
    ],
}
JOB = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {
        "name": f"tp-{TASK_ID}-2",
        "labels": LABELS,
        "annotations": {
            "taskpost.dev/token-sha256": "3c469e9d6c5875d37a43f353d4f88e61fcf812c66eee3457465a40b0da4153e0",
        },
    },
    "spec": {
        "backoffLimit": 0,
        "completions": 1,
        "parallelism": 1,
        "podReplacementPolicy": "Failed",
        "activeDeadlineSeconds": 600 + 60 + 10 + 120,
        "ttlSecondsAfterFinished": 3600,
        "podFailurePolicy": {
            "rules": [
                {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {
                    "action": "FailJob",
                    "onExitCodes": {"containerName": "task", "operator": "NotIn", "values": [0, 15, 143]},
                },
            ]
        },
        "template": {
            "metadata": {
                "labels": LABELS,
                "annotations": {
                    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
                    "karpenter.sh/do-not-disrupt": "true",
                },
            },
            "spec": POD,
        },
    },
}


def test_the_job_of_an_attempt():
    assert build_job(SPEC, SETTINGS, PodSettings(image="taskpost-runner")) == JOB


def test_nothing_secret_is_in_it():
    text = json.dumps(build_job(SPEC, SETTINGS, PodSettings(image="taskpost-runner")))
    assert "password" not in text
    assert "whsec" not in text


def test_a_proxy_s_password_is_in_a_mounted_file_and_not_in_the_pod():
    for proxy in ("http://u:s3cret@proxy:3128", "http://proxy:3128"):
        given = {"TASKPOST_REDIS_URL": "redis://x", "TASKPOST_CALLBACK_PROXY": proxy}
        job = build_job(AttemptSpec(SPEC.attempt_id, "sleep", given), SETTINGS, PodSettings(image="x"))
        told = {one["name"]: one.get("value") for one in job["spec"]["template"]["spec"]["containers"][0]["env"]}
        assert "s3cret" not in str(job)
        if "@" in proxy:
            assert told["TASKPOST_CALLBACK_PROXY_FILE"] == "/run/secrets/taskpost/callback-proxy"
            assert "TASKPOST_CALLBACK_PROXY" not in told
        else:
            assert told["TASKPOST_CALLBACK_PROXY"] == proxy


def test_without_signing_keys_no_file_of_them_is_named():
    spec = AttemptSpec(SPEC.attempt_id, "sleep", {"TASKPOST_REDIS_URL": "redis://x", "TASKPOST_SIGNING_KEYS": ""})
    job = build_job(spec, SETTINGS, PodSettings(image="x"))
    names = [variable["name"] for variable in job["spec"]["template"]["spec"]["containers"][0]["env"]]
    assert names == ["TASKPOST_REDIS_URL_FILE", "TASKPOST_HOLDER"]


def test_all_that_can_be_said_of_pods_reaches_them():
    toleration = {"key": "gpu", "operator": "Exists"}
    pods = PodSettings(
        image="other",
        image_pull_policy="Always",
        command=("run", "it"),
        resources={"limits": {"cpu": "2"}},
        node_selector={"disk": "ssd"},
        tolerations=(toleration,),
        affinity={"nodeAffinity": {}},
        priority_class="low",
        runtime_class="gvisor",
        service_account="runner",
        pull_secrets=("registry",),
        run_as_user=1000,
        env=({"name": "A", "value": "1"},),
        volumes=({"name": "data", "emptyDir": {}},),
        volume_mounts=({"name": "data", "mountPath": "/data"},),
        annotations={"sidecar.istio.io/inject": "false", "karpenter.sh/do-not-disrupt": "false"},
        labels={"team": "x", "taskpost.dev/attempt": "99"},
        queue_name="queue",
    )
    settings = JobSettings("one", "taskpost-runner", 600, 10, Owner("taskpost-jobs", "uid"))
    job = build_job(SPEC, settings, pods)
    assert job["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "taskpost-jobs", "uid": "uid"}
    ]
    assert job["metadata"]["labels"] == LABELS | {"kueue.x-k8s.io/queue-name": "queue"}
    template = job["spec"]["template"]
    assert template["metadata"] == {
        "labels": LABELS | {"team": "x"},
        "annotations": {
            "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
            "karpenter.sh/do-not-disrupt": "false",
            "sidecar.istio.io/inject": "false",
        },
    }
    container = POD["containers"][0]
    assert template["spec"] == POD | {
        "securityContext": POD["securityContext"] | {"runAsUser": 1000},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [UNREACHABLE, toleration],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "low",
        "runtimeClassName": "gvisor",
        "serviceAccountName": "runner",
        "imagePullSecrets": [{"name": "registry"}],
        "volumes": [*POD["volumes"], {"name": "data", "emptyDir": {}}],
        "containers": [
            container
            | {
                "image": "other",
                "imagePullPolicy": "Always",
                "command": ["run", "it"],
                "resources": {"limits": {"cpu": "2"}},
                "env": [*container["env"], {"name": "A", "value": "1"}],
                "volumeMounts": [*container["volumeMounts"], {"name": "data", "mountPath": "/data"}],
            }
        ],
    }


def test_its_objects_are_selected_by_their_instance():
    assert selector("one") == "app.kubernetes.io/managed-by=taskpost,taskpost.dev/instance=one"


def test_what_is_said_of_a_type_is_laid_over_what_is_said_of_all(tmp_path):
    path = tmp_path / "pods.json"
    of_all = {"priority_class": "low", "labels": {"a": "b"}, "env": [{"name": "A", "value": "1"}]}
    path.write_text(json.dumps({"default": of_all}))
    pods = read_pod_file(path)
    of_type = {"labels": {"c": "d"}, "env": [{"name": "B", "value": "2"}], "node_selector": {"pool": "large"}}
    own = definition("x", image="y", pod=of_type)
    assert pods.of_type(own, "z") == PodSettings(
        image="y",
        priority_class="low",
        labels={"a": "b", "c": "d"},
        env=({"name": "A", "value": "1"}, {"name": "B", "value": "2"}),
        node_selector={"pool": "large"},
    )
    plain = PodSettings(image="z", priority_class="low", labels={"a": "b"}, env=({"name": "A", "value": "1"},))
    assert pods.of_type(definition("other"), "z") == plain
    assert pods.of_type(None, "z") == plain
    assert read_pod_file(None).of_type(None, "z") == PodSettings(image="z")


@pytest.mark.parametrize("text", ["{", '{"default": {"imagee": "x"}}', '{"default": {"image": 1}}', '{"a": 1}'])
def test_a_mistake_in_the_file_is_told(tmp_path, text):
    path = tmp_path / "pods.json"
    path.write_text(text)
    with pytest.raises(PodFileInvalid, match=r"pods\.json"):
        read_pod_file(path)


def test_a_job_has_the_labels_of_its_type_and_ours_always_hold():
    given = {"kueue.x-k8s.io/priority-class": "high", LABEL_TASK_ID: "somebody else's"}
    labels = build_job(SPEC, SETTINGS, PodSettings(job_labels=given, queue_name="tasks"))["metadata"]["labels"]
    assert labels["kueue.x-k8s.io/priority-class"] == "high"
    assert labels["kueue.x-k8s.io/queue-name"] == "tasks"
    assert labels[LABEL_TASK_ID] == SPEC.attempt_id.task_id


@pytest.mark.parametrize("name", ["labels", "jobLabels"])
@pytest.mark.parametrize("key", ["taskpost.dev/task-id", "app.kubernetes.io/managed-by", "two/many/parts", "", "-x"])
def test_a_label_that_is_ours_or_has_no_valid_name_is_refused(name, key):
    ((place, message),) = pod_faults({name: {key: "x"}}, (), of_type=True)
    assert place == f"{name}.{key}"
    assert repr(key) in message
