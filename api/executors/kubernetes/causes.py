"""What ended a pod, where its exit code alone does not say it. Design section 7."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from api.core.observation import Cause
from api.executors.kubernetes.raw import UNSTARTABLE, condition, is_suspended, job_end, runner_end
from api.executors.kubernetes.seen import unix_time

if TYPE_CHECKING:
    from api.executors.kubernetes.seen import Kept, Object, Seen

UNKNOWN_END: Final = frozenset({"Unknown", "ContainerStatusUnknown"})
"""What the kubelet says of a container whose end it did not see: its node was restarted."""


def cause_of_end(seen: Seen, pod: Kept, end: Object) -> tuple[Cause | None, str]:
    """Say what ended a pod, if its exit code alone does not, in the cluster's words."""
    told = _told_cause(pod.raw, end)
    if told is not None:
        return told
    if seen.stop_asked is not None:
        return None, ""
    status = pod.raw["status"]
    words = ": ".join(str(status[name]) for name in ("reason", "message") if status.get(name))
    if _deletion_came_first(pod, end):
        return _deletion(seen), words
    if end.get("reason") in UNKNOWN_END:
        return Cause.DISRUPTED, f"{end['reason']}: {end.get('message') or 'the node did not see its end'}"
    return (None, "") if end else (Cause.REFUSED, words)


def _told_cause(pod: Object, end: Object) -> tuple[Cause, str] | None:
    """Return what the cluster itself says of a pod's end, if it says anything."""
    status, reason = pod["status"], end.get("reason")
    disruption = condition(pod, "DisruptionTarget")
    if disruption is not None:
        return Cause.DISRUPTED, str(disruption.get("message") or disruption.get("reason", ""))
    if status.get("reason") == "Evicted":
        return Cause.OUT_OF_STORAGE, str(status.get("message", ""))
    if reason == "OOMKilled":
        return Cause.OUT_OF_MEMORY, f"OOMKilled, exit code {end.get('exitCode')}"
    if reason in UNSTARTABLE:
        return Cause.UNSTARTABLE, f"{reason}: {end.get('message', '')}"
    return None


def cause_of_absence(seen: Seen, pod: Object) -> dict[str, Any]:
    """A pod that was not observed to end no longer exists, or its node does not answer."""
    disruption = condition(pod, "DisruptionTarget")
    if disruption is not None:
        return {"cause": Cause.DISRUPTED, "detail": str(disruption.get("message", ""))}
    if seen.stop_asked is not None:
        return {"cause": None, "detail": ""}
    return {"cause": _deletion(seen), "detail": ""}


def _deletion(seen: Seen) -> Cause:
    """Say who deleted a pod, when it was not we."""
    if seen.job is None or seen.job.deleted:
        return deleted_job(seen) or Cause.DELETED
    if is_suspended(seen.job.raw):
        return Cause.SUSPENDED
    end = job_end(seen.job.raw)
    return Cause.OVERDUE if end is not None and end.get("reason") == "DeadlineExceeded" else Cause.DELETED


def deleted_job(seen: Seen) -> Cause | None:
    """Return what deleted a Job that no longer exists, if it was not the service."""
    if seen.job is None or seen.stop_asked is not None:
        return None
    return Cause.OWNER_DELETED if seen.owner_gone else Cause.JOB_DELETED


def _deletion_came_first(pod: Kept, end: Object) -> bool:
    """Whether a pod's end was asked for before its container ended: then even exit code 0 is not a success."""
    if pod.asked_seconds is None:
        return False
    finished = unix_time(end.get("finishedAt"))
    return finished is None or finished >= pod.asked_seconds


def end_of_runner(pod: Object, end: Object) -> tuple[Cause | None, str]:
    """Say whether the runner beside a program that ended well had ended before it, and what it said at its own end.

    What it handed over then was not the result.
    """
    of_runner = runner_end(pod)
    ended, finished = unix_time(of_runner.get("finishedAt")), unix_time(end.get("finishedAt"))
    came_before = ended is not None and finished is not None and ended < finished
    code = of_runner.get("exitCode")
    words = str(of_runner.get("message") or f"it ended with exit code {code}") if code else ""
    return (Cause.UNWATCHED if came_before else None), words
