"""Readers of raw Jobs and pods, as the API server has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.core.observation import Program
from api.executors.kubernetes.template import CONTAINER, SIDECAR

if TYPE_CHECKING:
    from api.executors.kubernetes.seen import Object

ENDED: Final = frozenset({"Succeeded", "Failed"})
"""Phases of a pod that is over."""
UNSTARTABLE: Final = frozenset({"StartError", "ContainerCannotRun"})


def is_suspended(job: Object) -> bool:
    """Whether a Job waits to be released, or has been and has not begun anew yet."""
    return job.get("spec", {}).get("suspend") is True or condition(job, "Suspended") is not None


def job_end(job: Object | None) -> Object | None:
    """Return the condition that says that a Job is over or about to be, or None."""
    for kind in ("Failed", "FailureTarget", "Complete"):
        found = condition(job or {}, kind)
        if found is not None:
            return found
    return None


def phase_of(pod: Object) -> str:
    """Return the phase of a pod; "" before it has one."""
    return str(pod.get("status", {}).get("phase", ""))


def terminated(pod: Object) -> Object:
    """Return how the task's container ended; empty if it has not, or has never begun."""
    for container in pod.get("status", {}).get("containerStatuses", ()):
        if container.get("name") == CONTAINER:
            found: Object = container.get("state", {}).get("terminated", {})
            return found
    return {}


def program_of(pod: Object) -> Program:
    """Return how far the program of a container type is; one that could not be started has never begun."""
    end = terminated(pod)
    if end:
        return Program.WAITING if end.get("reason") in UNSTARTABLE else Program.ENDED
    statuses = pod.get("status", {}).get("containerStatuses", ())
    runs = any(status.get("name") == CONTAINER and "running" in status.get("state", {}) for status in statuses)
    return Program.RUNNING if runs else Program.WAITING


def others_run(pod: Object) -> bool:
    """Whether there are other containers that do not end by themselves: without them the kubelet ends the runner."""
    statuses = pod.get("status", {}).get("containerStatuses", ())
    return any("terminated" not in status.get("state", {}) for status in statuses)


def runner_end(pod: Object) -> Object:
    """Return how the runner beside a program ended last; empty if it is up, and has not been started again."""
    for status in pod.get("status", {}).get("initContainerStatuses", ()):
        if status.get("name") == SIDECAR and "running" not in status.get("state", {}):
            found: Object = status["state"].get("terminated") or status.get("lastState", {}).get("terminated", {})
            return found
    return {}


def condition(raw: Object, kind: str, status: str = "True") -> Object | None:
    """Return the condition of a kind, if it has this status."""
    for found in raw.get("status", {}).get("conditions") or ():
        if found.get("type") == kind and found.get("status") == status:
            wanted: Object = found
            return wanted
    return None
