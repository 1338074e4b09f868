"""Why an attempt has not begun, in the cluster's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.core.observation import Obstacle
from api.core.task import Reason
from api.executors.kubernetes.raw import condition
from api.executors.kubernetes.seen import created, unix_time

if TYPE_CHECKING:
    from api.executors.kubernetes.seen import Object, Seen

NO_POD_SECONDS: Final = 3
"""How old a Job without a pod is when that is worth telling: its controller makes one at once when all is well."""
IMAGE: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
)
ON_ITS_WAY: Final = frozenset({"ContainerCreating", "PodInitializing"})
HOPELESS: Final = frozenset({"InvalidImageName"})
MOUNT_WARNINGS: Final = ("FailedMount", "FailedCreatePodSandBox")


def why_not_begun(seen: Seen, pod: Object) -> tuple[Reason | None, bool]:
    """Say why a pod has not begun, in the cluster's words, and whether it never will."""
    status = pod.get("status", {})
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = container.get("state", {}).get("waiting", {})
        reason = waiting.get("reason")
        if reason in ON_ITS_WAY:
            warned = [f"{name}: {seen.warnings[name]}" for name in MOUNT_WARNINGS if name in seen.warnings]
            return (Reason(Obstacle.CONTAINER, warned[0]) if warned else None), False
        if reason:
            obstacle = Obstacle.IMAGE if reason in IMAGE else Obstacle.CONTAINER
            words = str(container.get("lastState", {}).get("terminated", {}).get("message", "")).strip()
            told = ": ".join(filter(None, (reason, waiting.get("message", ""), words)))
            return Reason(obstacle, told), reason in HOPELESS
    scheduled = condition(pod, "PodScheduled", "False")
    if scheduled is None:
        return None, False
    return Reason(Obstacle.UNSCHEDULABLE, f"{scheduled.get('reason')}: {scheduled.get('message', '')}"), False


def why_no_pod(job: Object, warning: str, now_seconds: float) -> Reason | None:
    """Say why a Job has no pod yet: `warning` is why none could be made, if an Event says so."""
    if warning:
        obstacle = Obstacle.QUOTA if "exceeded quota" in warning else Obstacle.POD_REFUSED
        return Reason(obstacle, f"FailedCreate: {warning}")
    made = unix_time(created(job) or None)
    if made is None or now_seconds < made + NO_POD_SECONDS:
        return None
    return Reason(Obstacle.NO_POD, "The Job is there, but its controller (kube-controller-manager) has made no pod yet")
