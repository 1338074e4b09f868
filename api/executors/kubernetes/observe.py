"""What is seen of an attempt in the cluster: a pure reader of raw Job, pod and Events. Design section 7."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from api.core.observation import Cause, Observation, Obstacle, Phase, Program
from api.core.task import Reason
from api.executors.kubernetes.seen import created
from api.executors.kubernetes.template import CONTAINER, SIDECAR

if TYPE_CHECKING:
    from api.executors.kubernetes.seen import Kept, Object, Seen

NO_POD_SECONDS: Final = 3
"""How old a Job without a pod is when that is worth telling: its controller makes one at once when all is well."""
UNREACHABLE_SECONDS: Final = 60
"""How long after its grace a pod whose node does not answer is waited for."""

ENDED: Final = frozenset({"Succeeded", "Failed"})
IMAGE: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
)
ON_ITS_WAY: Final = frozenset({"ContainerCreating", "PodInitializing"})
HOPELESS: Final = frozenset({"InvalidImageName"})
UNSTARTABLE: Final = frozenset({"StartError", "ContainerCannotRun"})
UNKNOWN_END: Final = frozenset({"Unknown", "ContainerStatusUnknown"})
"""What the kubelet says of a container whose end it did not see: its node was restarted."""
MOUNT_WARNINGS: Final = ("FailedMount", "FailedCreatePodSandBox")
_EXIT_CODE: Final = re.compile(r"failed with exit code (\d+)")


def observe(seen: Seen, now_seconds: float, answering_since_seconds: float | None = 0) -> Observation:
    """Return what is seen of an attempt.

    Both are Unix times: now, and since when the API server has answered without a break (None: it does not). While it
    is away no node can tell it that a pod has ended, so that this time says nothing against a node.
    """
    base = Observation(
        seen.attempt_id,
        Phase.ALIVE,
        stop_asked=seen.stop_asked,
        program=Program.WAITING if seen.is_container else None,
    )
    job = _living(seen.job)
    pod = _current_pod(seen, job)
    without_pod = pod is None or pod.deleted or _phase(pod.raw) in ENDED
    if job is not None and is_suspended(job) and not _is_finished(job) and without_pod:
        waiting = Reason(Obstacle.SUSPENDED, "Suspended: the Job is suspended, by Kueue or by hand")
        return replace(base, cause=Cause.SUSPENDED, waiting=waiting)
    if pod is None:
        return _without_pod(seen, job, base, now_seconds)
    if base.program is not None:
        base = replace(base, program=_program(pod.raw))
    if _phase(pod.raw) in ENDED:
        return _ended(seen, pod.raw, replace(base, phase=Phase.ENDED))
    if pod.deleted or _is_overdue(pod.raw, now_seconds, answering_since_seconds):
        return replace(base, phase=Phase.GONE, **_gone(seen, pod.raw))
    return _alive(seen, pod.raw, base)


def is_suspended(job: Object) -> bool:
    """Whether a Job waits to be released, or has been and has not begun anew yet."""
    return job.get("spec", {}).get("suspend") is True or _condition(job, "Suspended") is not None


def job_end(job: Object | None) -> Object | None:
    """Return the condition that says that a Job is over or about to be, or None."""
    for kind in ("Failed", "FailureTarget", "Complete"):
        found = _condition(job or {}, kind)
        if found is not None:
            return found
    return None


def _is_finished(job: Object) -> bool:
    """Whether a Job is over. One whose pod did not heed its signal when it was suspended is so when it goes on."""
    return _condition(job, "Failed") is not None or _condition(job, "Complete") is not None


def _current_pod(seen: Seen, job: Object | None) -> Kept | None:
    """Return the newest pod; of a Job that was suspended and goes on, only one that was made since."""
    pod = seen.pod
    if pod is None or job is None or _condition(job, "Suspended", "False") is None:
        return pod
    return pod if created(pod.raw) >= str(job["status"].get("startTime", "")) else None


def _living(job: Kept | None) -> Object | None:
    return None if job is None or job.deleted else job.raw


def _without_pod(seen: Seen, job: Object | None, base: Observation, now_seconds: float) -> Observation:
    if job is None:
        known = seen.job is not None and job_end(seen.job.raw) is None
        return replace(base, phase=Phase.GONE, cause=_deleted_job(seen) if known else None)
    end = job_end(job)
    if end is not None:
        return _ended_unseen(end, base)
    counted = job.get("status", {})
    if counted.get("failed") or counted.get("succeeded"):  # its one pod has come and gone, and nothing says how
        return replace(base, phase=Phase.GONE)
    return replace(base, waiting=_no_pod_yet(job, seen.warnings.get("FailedCreate", ""), now_seconds))


def _no_pod_yet(job: Object, warning: str, now_seconds: float) -> Reason | None:
    if warning:
        obstacle = Obstacle.QUOTA if "exceeded quota" in warning else Obstacle.POD_REFUSED
        return Reason(obstacle, f"FailedCreate: {warning}")
    made = _time(created(job) or None)
    if made is None or now_seconds < made + NO_POD_SECONDS:
        return None
    return Reason(Obstacle.NO_POD, "The Job is there, but its controller (kube-controller-manager) has made no pod yet")


def _ended_unseen(end: Object, base: Observation) -> Observation:
    """A Job is over whose pod was never seen: its condition says what its pod failure policy saw."""
    message = str(end.get("message", ""))
    exit_code = _EXIT_CODE.search(message)
    if exit_code is not None:
        return replace(base, phase=Phase.ENDED, exit_code=int(exit_code[1]))
    if "DisruptionTarget" in message:
        return replace(base, phase=Phase.GONE, cause=Cause.DISRUPTED, detail=message)
    if end.get("reason") == "DeadlineExceeded":
        return replace(base, phase=Phase.GONE, cause=Cause.OVERDUE, detail=message)
    return replace(base, phase=Phase.GONE, detail=message)


def _ended(seen: Seen, pod: Object, base: Observation) -> Observation:
    """A pod is over, or the program in it is."""
    end = _terminated(pod)
    exit_code = end.get("exitCode")
    cause, detail = _cause(seen, pod, end)
    if base.program is not None and cause is None and exit_code == 0:
        runner_end = _runner_end(pod)
        cause = Cause.UNWATCHED if _came_before(runner_end, end) else None
        detail = _last_words(runner_end)
    return replace(base, exit_code=exit_code, log_tail=str(end.get("message", "")), cause=cause, detail=detail)


def _cause(seen: Seen, pod: Object, end: Object) -> tuple[Cause | None, str]:
    """Say what ended a pod, if its exit code alone does not, in the cluster's words."""
    told = _told_cause(pod, end)
    if told is not None:
        return told
    if seen.stop_asked is not None:
        return None, ""
    status = pod["status"]
    words = ": ".join(str(status[name]) for name in ("reason", "message") if status.get(name))
    if _deletion_came_first(pod, end):
        return _deletion(seen), words
    if end.get("reason") in UNKNOWN_END:
        return Cause.DISRUPTED, f"{end['reason']}: {end.get('message') or 'the node did not see its end'}"
    return (None, "") if end else (Cause.REFUSED, words)


def _told_cause(pod: Object, end: Object) -> tuple[Cause, str] | None:
    """Return what the cluster itself says of a pod's end, if it says anything."""
    status, reason = pod["status"], end.get("reason")
    disruption = _condition(pod, "DisruptionTarget")
    if disruption is not None:
        return Cause.DISRUPTED, str(disruption.get("message") or disruption.get("reason", ""))
    if status.get("reason") == "Evicted":
        return Cause.OUT_OF_STORAGE, str(status.get("message", ""))
    if reason == "OOMKilled":
        return Cause.OUT_OF_MEMORY, f"OOMKilled, exit code {end.get('exitCode')}"
    if reason in UNSTARTABLE:
        return Cause.UNSTARTABLE, f"{reason}: {end.get('message', '')}"
    return None


def _gone(seen: Seen, pod: Object) -> dict[str, Any]:
    """A pod that was never seen to end is no more, or its node does not answer."""
    disruption = _condition(pod, "DisruptionTarget")
    if disruption is not None:
        return {"cause": Cause.DISRUPTED, "detail": str(disruption.get("message", ""))}
    if seen.stop_asked is not None:
        return {"cause": None, "detail": ""}
    return {"cause": _deletion(seen), "detail": ""}


def _deletion(seen: Seen) -> Cause:
    """Say who deleted a pod, when it was not we."""
    if seen.job is None or seen.job.deleted:
        return _deleted_job(seen) or Cause.DELETED
    if is_suspended(seen.job.raw):
        return Cause.SUSPENDED
    end = job_end(seen.job.raw)
    return Cause.OVERDUE if end is not None and end.get("reason") == "DeadlineExceeded" else Cause.DELETED


def _deleted_job(seen: Seen) -> Cause | None:
    if seen.job is None or seen.stop_asked is not None:
        return None
    return Cause.OWNER_DELETED if seen.owner_gone else Cause.JOB_DELETED


def _deletion_came_first(pod: Object, end: Object) -> bool:
    """Whether a pod's end was asked for before its container ended: then even exit code 0 is no success."""
    asked = _time(pod["metadata"].get("deletionTimestamp"))
    if asked is None:
        return False
    finished = _time(end.get("finishedAt"))
    return finished is None or finished >= asked - pod["metadata"].get("deletionGracePeriodSeconds", 0)


def _is_overdue(pod: Object, now_seconds: float, answering_since_seconds: float | None) -> bool:
    asked = _time(pod["metadata"].get("deletionTimestamp"))
    if asked is None or answering_since_seconds is None:
        return False
    return now_seconds > max(asked, answering_since_seconds) + UNREACHABLE_SECONDS


def _alive(seen: Seen, pod: Object, base: Observation) -> Observation:
    end = _terminated(pod)
    if end and base.program is None:
        return replace(base, exit_code=end.get("exitCode"), log_tail=str(end.get("message", "")), kept_up=True)
    if end:
        return replace(_ended(seen, pod, base), kept_up=_others_run(pod))
    waiting, hopeless = _waiting(seen, pod)
    return replace(base, waiting=waiting, hopeless=hopeless)


def _waiting(seen: Seen, pod: Object) -> tuple[Reason | None, bool]:
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
    scheduled = _condition(pod, "PodScheduled", "False")
    if scheduled is None:
        return None, False
    return Reason(Obstacle.UNSCHEDULABLE, f"{scheduled.get('reason')}: {scheduled.get('message', '')}"), False


def _phase(pod: Object) -> str:
    return str(pod.get("status", {}).get("phase", ""))


def _terminated(pod: Object) -> Object:
    """Return how the task's container ended; empty if it has not, or has never begun."""
    for container in pod.get("status", {}).get("containerStatuses", ()):
        if container.get("name") == CONTAINER:
            found: Object = container.get("state", {}).get("terminated", {})
            return found
    return {}


def _program(pod: Object) -> Program:
    """Return how far the program of a container type is; one that could not be started has never begun."""
    end = _terminated(pod)
    if end:
        return Program.WAITING if end.get("reason") in UNSTARTABLE else Program.ENDED
    statuses = pod.get("status", {}).get("containerStatuses", ())
    runs = any(status.get("name") == CONTAINER and "running" in status.get("state", {}) for status in statuses)
    return Program.RUNNING if runs else Program.WAITING


def _others_run(pod: Object) -> bool:
    """Whether there are other containers that do not end by themselves: without them the kubelet ends the runner."""
    statuses = pod.get("status", {}).get("containerStatuses", ())
    return any("terminated" not in status.get("state", {}) for status in statuses)


def _runner_end(pod: Object) -> Object:
    """Return how the runner beside a program ended last; empty if it is up, and has not been started again."""
    for status in pod.get("status", {}).get("initContainerStatuses", ()):
        if status.get("name") == SIDECAR and "running" not in status.get("state", {}):
            found: Object = status["state"].get("terminated") or status.get("lastState", {}).get("terminated", {})
            return found
    return {}


def _came_before(runner_end: Object, end: Object) -> bool:
    """Whether a runner had ended before its program did: what it handed over then was not the result."""
    ended, finished = _time(runner_end.get("finishedAt")), _time(end.get("finishedAt"))
    return ended is not None and finished is not None and ended < finished


def _last_words(runner_end: Object) -> str:
    """Return what the runner beside a program has said at its end, if it did not end well."""
    if not runner_end.get("exitCode"):
        return ""
    return str(runner_end.get("message") or f"it ended with exit code {runner_end['exitCode']}")


def _condition(raw: Object, kind: str, status: str = "True") -> Object | None:
    for condition in raw.get("status", {}).get("conditions") or ():
        if condition.get("type") == kind and condition.get("status") == status:
            found: Object = condition
            return found
    return None


def _time(text: str | None) -> float | None:
    return None if text is None else datetime.fromisoformat(text).timestamp()
