"""The pod of an attempt: a pure function of what is to be run and of how its pods are to be. Design section 9."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from runner.contract import DEFAULT_RESULT_GRACE_SECONDS, SIDECAR_PORT, TASK_DIRECTORY, Env, program_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.executors.base import AttemptSpec
    from api.executors.kubernetes.pods import PodSettings

Object = dict[str, Any]

CONTAINER: Final = "task"
SIDECAR: Final = "runner"
SECRET_DIRECTORY: Final = "/run/secrets/taskpost"  # noqa: S105 - a path
REDIS_URL_KEY: Final = "redis-url"
SIGNING_KEYS_KEY: Final = "signing-keys"
CALLBACK_PROXY_KEY: Final = "callback-proxy"
"""Key of the Secret, needed only if the callback proxy has a password; without it the service makes all callbacks."""
UNREACHABLE_SECONDS: Final = 60
PROBES: Final = 24 * 3600
"""As many as there may be: how long an attempt has to begin is for the service to say."""

TMP: Final = {"name": "tmp"}
SECRET: Final = {"name": "taskpost"}
DIRECTORY: Final = {"name": "taskpost-directory"}
SIDECAR_TMP: Final = {"name": "taskpost-tmp"}
"""A runner's own: what it shares with a program is the directory and nothing else."""
TMP_MOUNT: Final = TMP | {"mountPath": "/tmp"}  # noqa: S108 - the container's own
SECRET_MOUNT: Final[Object] = SECRET | {"mountPath": SECRET_DIRECTORY, "readOnly": True}
DIRECTORY_MOUNT: Final = DIRECTORY | {"mountPath": TASK_DIRECTORY}
SIDECAR_TMP_MOUNT: Final = TMP_MOUNT | SIDECAR_TMP
UNPRIVILEGED: Final[Object] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


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
    result_grace_seconds: float = DEFAULT_RESULT_GRACE_SECONDS


def build_template(spec: AttemptSpec, settings: JobSettings, pods: PodSettings, labels: Mapping[str, str]) -> Object:
    """Return the template of an attempt's pod."""
    pod = _pod(spec, settings, pods) | {"containers": [_task(spec, pods)]}
    if pods.sidecar is not None:
        pod["initContainers"] = [_sidecar(spec, pods.sidecar)]
    return {"metadata": {"labels": pods.labels | dict(labels), "annotations": _annotations(pods)}, "spec": pod}


def whole_seconds(grace_seconds: float) -> int:
    """Return a grace as Kubernetes has it. 0 would take the pod from the API server before it is ended."""
    return max(1, math.ceil(grace_seconds))


def grace_seconds(spec: AttemptSpec, settings: JobSettings) -> int:
    """Return how long a pod has to end: beside a program, the runner needs it to hand the result over."""
    of_program = settings.result_grace_seconds if spec.command else 0.0
    return whole_seconds(max(settings.grace_seconds, of_program))


def _annotations(pods: PodSettings) -> dict[str, str]:
    """A task is not to be moved for tidiness: not by the cluster's autoscaler, not by Karpenter."""
    return {
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
        "karpenter.sh/do-not-disrupt": "true",
    } | pods.annotations


def _pod(spec: AttemptSpec, settings: JobSettings, pods: PodSettings) -> Object:
    security: Object = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    user = pods.container_run_as_user if spec.command and pods.run_as_user is None else pods.run_as_user
    if user is not None:
        security["runAsUser"] = user
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
        "terminationGracePeriodSeconds": grace_seconds(spec, settings),
        "securityContext": security,
        "tolerations": [unreachable, *pods.tolerations],
        "volumes": [
            TMP | {"emptyDir": {}},
            SECRET | {"secret": {"secretName": settings.secret, "defaultMode": 0o444}},
            *([DIRECTORY | {"emptyDir": {}}, SIDECAR_TMP | {"emptyDir": {}}] if spec.command else []),
            *pods.volumes,
        ],
    } | {name: value for name, value in optional.items() if value}


def _task(spec: AttemptSpec, pods: PodSettings) -> Object:
    """The task's container: our runner, or the program of a container type, which gets nothing of ours."""
    if not spec.command:
        return _runner(spec, pods)
    definition = spec.definition
    given = dict(definition.env) if definition is not None else {}
    given |= program_environment(spec.attempt_id.task_id, spec.attempt_id.attempt, TASK_DIRECTORY)
    own = {
        "env": [*_variables(given), *pods.env],
        "securityContext": UNPRIVILEGED,
        "volumeMounts": [TMP_MOUNT, DIRECTORY_MOUNT, *pods.volume_mounts],
    }
    return _container(pods) | own


def _sidecar(spec: AttemptSpec, pods: PodSettings) -> Object:
    """The runner beside a program: an init container that is kept up until the program has ended (Kubernetes 1.29)."""
    return _runner(spec, pods) | {
        "name": SIDECAR,
        "args": ["sidecar"],
        "resources": pods.sidecar_resources,
        "restartPolicy": "Always",
        "startupProbe": {"tcpSocket": {"port": SIDECAR_PORT}, "periodSeconds": 1, "failureThreshold": PROBES},
        "volumeMounts": [SIDECAR_TMP_MOUNT, SECRET_MOUNT, DIRECTORY_MOUNT, *pods.volume_mounts],
    }


def _runner(spec: AttemptSpec, pods: PodSettings) -> Object:
    return _container(pods) | {
        "env": [*_environment(spec), *pods.env],
        "securityContext": UNPRIVILEGED | {"readOnlyRootFilesystem": True},
        "volumeMounts": [TMP_MOUNT, SECRET_MOUNT, *pods.volume_mounts],
    }


def _container(pods: PodSettings) -> Object:
    optional = {"imagePullPolicy": pods.image_pull_policy, "command": list(pods.command)}
    return {
        "name": CONTAINER,
        "image": pods.image,
        "resources": pods.resources,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    } | {name: value for name, value in optional.items() if value}


def _environment(spec: AttemptSpec) -> list[Object]:
    """What the runner is told, without what is secret: that it finds in mounted files."""
    given = dict(spec.environment)
    given.pop(Env.REDIS_URL, None)
    if Env.SEALED_TOKEN in given:
        given.pop(Env.TOKEN, None)
    keys = [given.pop(name, "") for name in (Env.SIGNING_KEYS, Env.SIGNING_KEYS_FILE)]
    if "@" in given.get(Env.CALLBACK_PROXY, ""):  # it has a password
        del given[Env.CALLBACK_PROXY]
        given[Env.CALLBACK_PROXY_FILE] = f"{SECRET_DIRECTORY}/{CALLBACK_PROXY_KEY}"
    given[Env.REDIS_URL_FILE] = f"{SECRET_DIRECTORY}/{REDIS_URL_KEY}"
    if any(keys):
        given[Env.SIGNING_KEYS_FILE] = f"{SECRET_DIRECTORY}/{SIGNING_KEYS_KEY}"
    holder = {"name": str(Env.HOLDER), "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    return [*_variables(given), holder]


def _variables(given: Mapping[str, str]) -> list[Object]:
    return [{"name": str(name), "value": value} for name, value in sorted(given.items())]
