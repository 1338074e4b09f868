"""What is seen of an attempt in the cluster: a pure reader of raw Job, pod and Events. Design section 7."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from api.core.observation import Cause, Observation, Phase, Program
from api.executors.kubernetes.causes import cause_of_absence, cause_of_end, deleted_job, end_of_runner
from api.executors.kubernetes.raw import (
    ENDED,
    condition,
    is_suspended,
    job_end,
    others_run,
    phase_of,
    program_of,
    terminated,
)
from api.executors.kubernetes.seen import created
from api.executors.kubernetes.waiting import why_no_pod, why_not_begun, why_suspended

if TYPE_CHECKING:
    from api.executors.kubernetes.seen import Kept, Object, Seen

_EXIT_CODE: Final = re.compile(r"failed with exit code (\d+)")


def observe(seen: Seen, now_seconds: float, answering_since_seconds: float | None = 0) -> Observation:
    """Return what is seen of an attempt.

    Both times are of the monotonic clock that `Kept` was stamped by: now, and since when the API server has answered
    without a break (None: it does not). While it is away no node can tell it that a pod has ended.
    """
    base = Observation(
        seen.attempt_id,
        Phase.ALIVE,
        stop_asked=seen.stop_asked,
        program=Program.WAITING if seen.is_container else None,
    )
    job = _living(seen.job)
    pod = _current_pod(seen, job)
    without_pod = pod is None or pod.deleted or phase_of(pod.raw) in ENDED
    suspended = job is not None and is_suspended(job) and not _is_finished(job)
    if suspended and without_pod:
        return replace(base, cause=Cause.SUSPENDED, waiting=why_suspended(seen))
    if pod is None:
        return _without_pod(seen, job, base, now_seconds)
    if base.program is not None:
        base = replace(base, program=program_of(pod.raw))
    if phase_of(pod.raw) in ENDED:
        return _ended(seen, pod, replace(base, phase=Phase.ENDED))
    if pod.deleted or pod.is_overdue(now_seconds, answering_since_seconds):
        return replace(base, phase=Phase.GONE, **cause_of_absence(seen, pod.raw))
    base = replace(base, holder=pod.raw["metadata"]["uid"])
    alive = _alive(seen, pod, base)
    return replace(alive, waiting=why_suspended(seen), hopeless=False) if suspended else alive


def has_program_to_end(seen: Seen) -> bool:
    """Whether a suspended Job has a pod that is being ended and a program that has not ended."""
    job, pod = _living(seen.job), seen.pod
    if not seen.is_container or job is None or not is_suspended(job) or pod is None or pod.deleted:
        return False
    return pod.asked_seconds is not None and program_of(pod.raw) is not Program.ENDED


def _is_finished(job: Object) -> bool:
    """Whether a Job is over. One whose pod did not heed its signal when it was suspended is so when it goes on."""
    return condition(job, "Failed") is not None or condition(job, "Complete") is not None


def _current_pod(seen: Seen, job: Object | None) -> Kept | None:
    """Return the newest pod; of a Job that was suspended and goes on, only one that was made since."""
    pod = seen.pod
    if pod is None or job is None or condition(job, "Suspended", "False") is None:
        return pod
    return pod if created(pod.raw) >= str(job["status"].get("startTime", "")) else None


def _living(job: Kept | None) -> Object | None:
    return None if job is None or job.deleted else job.raw


def _without_pod(seen: Seen, job: Object | None, base: Observation, now_seconds: float) -> Observation:
    if job is None:
        known = seen.job is not None and job_end(seen.job.raw) is None
        return replace(base, phase=Phase.GONE, cause=deleted_job(seen) if known else None)
    end = job_end(job)
    if end is not None:
        return _ended_unseen(end, base)
    counted = job.get("status", {})
    if counted.get("failed") or counted.get("succeeded"):  # its one pod has come and gone, and nothing says how
        return replace(base, phase=Phase.GONE)
    return replace(base, waiting=why_no_pod(seen, job, now_seconds))


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


def _ended(seen: Seen, pod: Kept, base: Observation) -> Observation:
    """A pod is over, or the program in it is."""
    end = terminated(pod.raw)
    exit_code = end.get("exitCode")
    cause, detail = cause_of_end(seen, pod, end)
    if base.program is not None and cause is None and exit_code == 0:
        cause, detail = end_of_runner(pod.raw, end)
    return replace(base, exit_code=exit_code, log_tail=str(end.get("message", "")), cause=cause, detail=detail)


def _alive(seen: Seen, pod: Kept, base: Observation) -> Observation:
    end = terminated(pod.raw)
    if end and base.program is None:  # our own runner is over, and something beside it is not
        return replace(base, exit_code=end.get("exitCode"), log_tail=str(end.get("message", "")), kept_up=True)
    if end:
        return replace(_ended(seen, pod, base), kept_up=others_run(pod.raw))
    waiting, hopeless = why_not_begun(seen, pod.raw)
    return replace(base, waiting=waiting, hopeless=hopeless)
