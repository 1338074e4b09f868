"""What the API server's audit log tells of a namespace's task Jobs: how many were unfinished at a time."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

CLUSTER = Path(__file__).parents[1] / "cluster" / "cluster.sh"
JOB_PREFIX = "tp-"
CHANGES = {"create", "update", "patch", "delete"}

Event = dict[str, Any]


def events(namespace: str, *, reads: bool = False) -> list[Event]:
    """What was done in a namespace, in order. With `reads` every call, also those that only read or were refused."""
    done = subprocess.run([CLUSTER, "audit"], capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines() if f'"namespace":"{namespace}"' in line]
    changes = [
        event
        for event in found
        if event["stage"] == "ResponseComplete"
        and (reads or (event["verb"] in CHANGES and event["responseStatus"]["code"] < 300))
    ]
    return sorted(changes, key=when)


def when(event: Event) -> str:
    """When a call came in. Watchers may hear of a change before its call has been answered."""
    return str(event["requestReceivedTimestamp"])


def created_jobs(changes: Iterable[Event]) -> list[str]:
    """The names of the task Jobs that were created, in order."""
    return [name for event in changes if _is(event, "create", "jobs") and (name := _name(event)).startswith(JOB_PREFIX)]


def most_unfinished(changes: Iterable[Event], among: Iterable[str] | None = None) -> int:
    """How many task Jobs (those named, or all) were unfinished at most: created, and their pod neither over nor gone.

    A Job whose pod is being deleted counts until its container has ended, one that has no pod until it is deleted.
    """
    ends: dict[str, str] = {}
    begins: dict[str, str] = {}
    pods: set[str] = set()
    for event in changes:
        resource, at = event["objectRef"]["resource"], when(event)
        job = _name(event) if resource == "jobs" else _name(event).rpartition("-")[0]
        if _is(event, "create", "jobs") and job.startswith(JOB_PREFIX):
            begins[job] = at
        elif job in begins and resource == "pods":
            pods.add(job)
            if _is_over(event):
                ends.setdefault(job, at)
            elif event["verb"] == "delete":
                ends[f"{job} deleted"] = at
        elif job in begins and _is(event, "delete", "jobs") and job not in pods:
            ends.setdefault(job, at)
    if among is not None:
        begins = {job: begins[job] for job in among}
    for job in begins:
        ends.setdefault(job, ends.get(f"{job} deleted", "~"))
    moments = [(at, 1) for at in begins.values()] + [(ends[job], -1) for job in begins]
    most = now = 0
    for _, step in sorted(moments):
        now += step
        most = max(most, now)
    return most


def _is(event: Event, verb: str, resource: str) -> bool:
    about = event["objectRef"]
    return event["verb"] == verb and about["resource"] == resource and "subresource" not in about


def _name(event: Event) -> str:
    return str(event["objectRef"].get("name", ""))


def _is_over(event: Event) -> bool:
    written = event.get("requestObject") or {}
    return written.get("status", {}).get("phase") in {"Succeeded", "Failed"}
