"""The Job of an attempt: a pure function of what is to be run and of how its pods are to be. Design section 9."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from api.executors.base import StartRefused
from api.executors.kubernetes.template import CONTAINER, build_template, grace_seconds
from runner.contract import EXIT_BY_SIGTERM, EXIT_OK, EXIT_TERMINATED, Env

if TYPE_CHECKING:
    from api.executors.base import AttemptSpec
    from api.executors.kubernetes.pods import PodSettings
    from api.executors.kubernetes.template import JobSettings

MANAGED_BY: Final = "taskpost"
LABEL_INSTANCE: Final = "taskpost.dev/instance"
LABEL_TASK_ID: Final = "taskpost.dev/task-id"
LABEL_TASK_TYPE: Final = "taskpost.dev/task-type"
LABEL_ATTEMPT: Final = "taskpost.dev/attempt"
LABEL_KIND: Final = "taskpost.dev/kind"
KIND_CONTAINER: Final = "container"
"""The kind of pods in which the task is a container that is not ours."""
ANNOTATION_TOKEN: Final = "taskpost.dev/token-sha256"  # noqa: S105 - a name
LABEL_QUEUE: Final = "kueue.x-k8s.io/queue-name"
NO_FAILURE: Final = [EXIT_OK, EXIT_TERMINATED, EXIT_BY_SIGTERM]
"""An end by a signal is not a failure: otherwise a suspended Job fails as soon as it is released."""
KEPT_SECONDS: Final = 3600
MARGIN_SECONDS: Final = 120


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
        "labels": pods.job_labels | ({LABEL_QUEUE: pods.queue_name} if pods.queue_name else {}) | labels,
        "annotations": {ANNOTATION_TOKEN: token_hash(spec)},
    }
    if settings.owner is not None:
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": settings.owner.name, "uid": settings.owner.uid}
        metadata["ownerReferences"] = [owner]
    seconds = settings.start_deadline_seconds + spec.timeout_seconds + grace_seconds(spec, settings) + MARGIN_SECONDS
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
            "template": build_template(spec, settings, pods, labels),
        },
    }


def check_is_json(job: dict[str, Any]) -> None:
    """See that an API server can be sent a Job, with all that its type's settings put into it.

    Raises:
        StartRefused: if it holds something that JSON has no form for.
    """
    try:
        json.dumps(job, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise StartRefused(
            f"The Job cannot be written as JSON: {error}. Look at the pod settings of its task type: "
            "what YAML takes for a date is text only in quotes"
        ) from None


def _labels(spec: AttemptSpec, settings: JobSettings) -> dict[str, str]:
    kind = {LABEL_KIND: KIND_CONTAINER} if spec.command else {}
    return kind | {
        "app.kubernetes.io/name": "taskpost-task",
        "app.kubernetes.io/component": "task",
        "app.kubernetes.io/part-of": "taskpost",
        "app.kubernetes.io/managed-by": MANAGED_BY,
        LABEL_INSTANCE: settings.instance,
        LABEL_TASK_ID: spec.attempt_id.task_id,
        LABEL_TASK_TYPE: spec.task_type,
        LABEL_ATTEMPT: str(spec.attempt_id.attempt),
    }
