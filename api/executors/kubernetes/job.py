"""The Job of an attempt: a pure function of what is to be run and of how its pods are to be. Design section 9."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from runner.contract import EXIT_BY_SIGTERM, EXIT_OK, EXIT_TERMINATED, Env

if TYPE_CHECKING:
    from api.executors.base import AttemptSpec
    from api.executors.kubernetes.pods import PodSettings

CONTAINER: Final = "task"
MANAGED_BY: Final = "taskpost"
LABEL_INSTANCE: Final = "taskpost.dev/instance"
LABEL_TASK_ID: Final = "taskpost.dev/task-id"
LABEL_TASK_TYPE: Final = "taskpost.dev/task-type"
LABEL_ATTEMPT: Final = "taskpost.dev/attempt"
ANNOTATION_TOKEN: Final = "taskpost.dev/token-sha256"  # noqa: S105 - a name
LABEL_QUEUE: Final = "kueue.x-k8s.io/queue-name"
SECRET_DIRECTORY: Final = "/run/secrets/taskpost"  # noqa: S105 - a path
REDIS_URL_KEY: Final = "redis-url"
SIGNING_KEYS_KEY: Final = "signing-keys"
NO_FAILURE: Final = [EXIT_OK, EXIT_TERMINATED, EXIT_BY_SIGTERM]
"""What was ended by a signal is no failure: else a Job that was suspended fails as soon as it goes on."""
KEPT_SECONDS: Final = 3600
MARGIN_SECONDS: Final = 120
UNREACHABLE_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Owner:
    """The ConfigMap of the release: its Jobs are deleted with it."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class JobSettings:
    """What all Jobs of an instance have in common. `secret` names the Secret with what is not for everyone's eyes."""

    instance: str
    secret: str
    start_deadline_seconds: float
    grace_seconds: float
    owner: Owner | None = None


def selector(instance: str) -> str:
    """Return the label selector of all Jobs and pods of an instance."""
    return f"app.kubernetes.io/managed-by={MANAGED_BY},{LABEL_INSTANCE}={instance}"


def job_name(spec: AttemptSpec) -> str:
    """Return the name of an attempt's Job: made twice it is one Job."""
    return f"tp-{spec.attempt_id}"


def token_hash(spec: AttemptSpec) -> str:
    """Return what a Job shows of its attempt's token."""
    return hashlib.sha256(spec.environment.get(Env.TOKEN, "").encode()).hexdigest()


def build_job(spec: AttemptSpec, settings: JobSettings, pods: PodSettings) -> dict[str, Any]:
    """Return the Job of an attempt."""
    labels = _labels(spec, settings)
    metadata: dict[str, Any] = {
        "name": job_name(spec),
        "labels": labels | ({LABEL_QUEUE: pods.queue_name} if pods.queue_name else {}),
        "annotations": {ANNOTATION_TOKEN: token_hash(spec)},
    }
    if settings.owner is not None:
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": settings.owner.name, "uid": settings.owner.uid}
        metadata["ownerReferences"] = [owner]
    seconds = settings.start_deadline_seconds + spec.timeout_seconds + settings.grace_seconds + MARGIN_SECONDS
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "podReplacementPolicy": "Failed",
            "activeDeadlineSeconds": int(seconds),
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                    },
                    {
                        "action": "FailJob",
                        "onExitCodes": {"containerName": CONTAINER, "operator": "NotIn", "values": NO_FAILURE},
                    },
                ]
            },
            "template": {
                "metadata": {"labels": pods.labels | labels, "annotations": _annotations(pods)},
                "spec": _pod(spec, settings, pods),
            },
        },
    }


def _labels(spec: AttemptSpec, settings: JobSettings) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "taskpost-task",
        "app.kubernetes.io/component": "task",
        "app.kubernetes.io/part-of": "taskpost",
        "app.kubernetes.io/managed-by": MANAGED_BY,
        LABEL_INSTANCE: settings.instance,
        LABEL_TASK_ID: spec.attempt_id.task_id,
        LABEL_TASK_TYPE: spec.task_type,
        LABEL_ATTEMPT: str(spec.attempt_id.attempt),
    }


def _annotations(pods: PodSettings) -> dict[str, str]:
    """A task is not to be moved for tidiness: not by the cluster's autoscaler, not by Karpenter."""
    return {
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
        "karpenter.sh/do-not-disrupt": "true",
    } | pods.annotations


def _pod(spec: AttemptSpec, settings: JobSettings, pods: PodSettings) -> dict[str, Any]:
    security: dict[str, Any] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if pods.run_as_user is not None:
        security["runAsUser"] = pods.run_as_user
    unreachable = {
        "key": "node.kubernetes.io/unreachable",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": UNREACHABLE_SECONDS,
    }
    optional = {
        "nodeSelector": pods.node_selector,
        "affinity": pods.affinity,
        "priorityClassName": pods.priority_class,
        "runtimeClassName": pods.runtime_class,
        "serviceAccountName": pods.service_account,
        "imagePullSecrets": [{"name": name} for name in pods.pull_secrets],
    }
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # 0 would take the pod from the API server before it is ended.
        "terminationGracePeriodSeconds": max(1, math.ceil(settings.grace_seconds)),
        "securityContext": security,
        "tolerations": [unreachable, *pods.tolerations],
        "containers": [_container(spec, pods)],
        "volumes": [
            {"name": "tmp", "emptyDir": {}},
            {"name": "taskpost", "secret": {"secretName": settings.secret, "defaultMode": 0o444}},
            *pods.volumes,
        ],
    } | {name: value for name, value in optional.items() if value}


def _container(spec: AttemptSpec, pods: PodSettings) -> dict[str, Any]:
    optional = {"imagePullPolicy": pods.image_pull_policy, "command": list(pods.command)}
    return {
        "name": CONTAINER,
        "image": pods.image,
        "env": [*_environment(spec), *pods.env],
        "resources": pods.resources,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
            {"name": "taskpost", "mountPath": SECRET_DIRECTORY, "readOnly": True},
            *pods.volume_mounts,
        ],
    } | {name: value for name, value in optional.items() if value}


def _environment(spec: AttemptSpec) -> list[dict[str, Any]]:
    """What the runner is told, without what is secret: that it finds in mounted files."""
    given = dict(spec.environment)
    given.pop(Env.REDIS_URL, None)
    keys = [given.pop(name, "") for name in (Env.SIGNING_KEYS, Env.SIGNING_KEYS_FILE)]
    given[Env.REDIS_URL_FILE] = f"{SECRET_DIRECTORY}/{REDIS_URL_KEY}"
    if any(keys):
        given[Env.SIGNING_KEYS_FILE] = f"{SECRET_DIRECTORY}/{SIGNING_KEYS_KEY}"
    holder = {"name": str(Env.HOLDER), "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    return [{"name": str(name), "value": value} for name, value in sorted(given.items())] + [holder]
