"""Why an attempt has not begun, in the cluster's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.core.observation import Obstacle
from api.core.task import Reason
from api.executors.kubernetes.raw import ENDED, condition, phase_of
from api.executors.kubernetes.seen import Admission

if TYPE_CHECKING:
    from api.executors.kubernetes.seen import Kept, Object, Seen

NO_POD_SECONDS: Final = 3
"""How long a Job may have no pod before that is shown: its controller makes one at once when all is well."""
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


def why_suspended(seen: Seen) -> Reason:
    """Return why a Job is suspended, by the Events of its Workload if Kueue suspended it."""
    admission = seen.admission or Admission(0)
    said = [text for text in (admission.eviction, admission.pending) if text]
    if not said:
        return Reason(Obstacle.SUSPENDED, "Suspended: the Job is suspended, by Kueue or by hand")
    return Reason(Obstacle.SUSPENDED, f"Suspended by Kueue: {'; '.join(said)}")


def why_no_pod(seen: Seen, job: Object, now_seconds: float) -> Reason | None:
    """Return why a Job has no pod yet, or no new one."""
    warning = seen.warnings.get("FailedCreate", "")
    ending = _ending_pods(seen, job, now_seconds)
    if ending:
        return Reason(Obstacle.TERMINATING, f"The Job starts again when its earlier pod has ended: {ending}")
    if warning:
        obstacle = Obstacle.QUOTA if "exceeded quota" in warning else Obstacle.POD_REFUSED
        return Reason(obstacle, f"FailedCreate: {warning}")
    if seen.job is None or seen.job.seen_since is None or now_seconds < seen.job.seen_since + NO_POD_SECONDS:
        return None
    return Reason(Obstacle.NO_POD, "The Job is there, but its controller (kube-controller-manager) has made no pod yet")


def _ending_pods(seen: Seen, job: Object, now_seconds: float) -> str:
    """Name the pods of a Job that are being ended; "" if there are none, or if their node does not answer."""
    pods = {name: kept for name, kept in seen.pods.items() if _is_ending(kept)}
    if pods:
        return ", ".join(sorted(name for name, kept in pods.items() if not kept.is_overdue(now_seconds, 0)))
    number = job.get("status", {}).get("terminating")
    return f"{number} of its pods" if number else ""


def _is_ending(kept: Kept) -> bool:
    return not kept.deleted and kept.asked_seconds is not None and phase_of(kept.raw) not in ENDED
