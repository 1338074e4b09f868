"""What was last seen of an attempt in the cluster: its Job, its pod and what Events say of it, as raw objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from api.core.observation import AttemptId
from api.executors.kubernetes.job import KIND_CONTAINER, LABEL_ATTEMPT, LABEL_KIND, LABEL_TASK_ID

if TYPE_CHECKING:
    from api.core.observation import Cause, Program, StopReason

Object = dict[str, Any]

UNREACHABLE_SECONDS: Final = 60
"""How long to wait, after its grace period, for a pod whose node does not answer."""


@dataclass(slots=True)
class Kept:
    """An object as it was last seen; `deleted` says that it no longer exists.

    `asked_seconds` is when its deletion was asked for first, in Unix time. Its last view tells of the kubelet, which
    asks for it when all is over. `seen_since` and `ending_since` are when we first saw it, and saw that it is being
    ended, by our own monotonic clock: the clocks of a cluster are not ours.
    """

    raw: Object
    deleted: bool = False
    asked_seconds: float | None = None
    seen_since: float | None = None
    ending_since: float | None = None

    def followed_by(self, raw: Object, *, deleted: bool) -> Kept:
        """Return what is kept when a newer view has come."""
        newer = keep(raw, deleted=deleted)
        known = [seconds for seconds in (self.asked_seconds, newer.asked_seconds) if seconds is not None]
        newer.asked_seconds = min(known, default=None)
        newer.seen_since, newer.ending_since = self.seen_since, self.ending_since
        return newer

    def stamp(self, now_seconds: float) -> None:
        """Note when it was first seen, and first seen to be ended."""
        self.seen_since = now_seconds if self.seen_since is None else self.seen_since
        if self.asked_seconds is not None and self.ending_since is None:
            self.ending_since = now_seconds

    def is_overdue(self, now_seconds: float, answering_since_seconds: float | None) -> bool:
        """Whether a pod that is being ended should have been gone for a minute: its node does not answer.

        The API server must have answered all the time (None: it does not), else the node is not blamed.
        """
        if self.ending_since is None or answering_since_seconds is None:
            return False
        grace_seconds = self.raw["metadata"].get("deletionGracePeriodSeconds") or 0
        end = max(self.ending_since + grace_seconds, answering_since_seconds)
        return now_seconds > end + UNREACHABLE_SECONDS

    @property
    def version(self) -> int:
        """Its resource version: of two views of an object the higher is the newer."""
        return version_of(self.raw)


@dataclass(frozen=True, slots=True)
class Admission:
    """The last messages of Kueue about the Workload of a Job.

    `eviction` is why it was interrupted, until it is admitted again; `pending` why it waits. `version` is the Event's.
    """

    version: int
    eviction: str = ""
    pending: str = ""


@dataclass(slots=True)
class Seen:
    """All that is known of an attempt."""

    attempt_id: AttemptId
    job: Kept | None = None
    pods: dict[str, Kept] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)
    """The newest message of each reason that Events warn of: some things only they tell."""
    admission: Admission | None = None
    stop_asked: StopReason | None = None
    forgetting: bool = False
    owner_gone: bool | None = None
    """Whether a Job that somebody deleted went with what it belonged to; None if nobody has asked."""

    told: tuple[Program | None, Cause | None, bool] = (None, None, False)
    """Progress of its program, and whether it was suspended, at the last report."""
    hastened: bool = False
    """Whether its pod was given less time to end than it has, when its Job was suspended."""
    unreadable: bool = False
    """Whether something in it could not be read; that is logged once."""

    @property
    def is_left(self) -> bool:
        """Whether its Job or a pod of it still exists."""
        kept = [*self.pods.values(), *([] if self.job is None else [self.job])]
        return not all(one.deleted for one in kept)

    @property
    def is_container(self) -> bool:
        """Whether its task is a container that is not ours, beside our runner."""
        kept = self.job or self.pod
        return kept is not None and labels_of(kept.raw).get(LABEL_KIND) == KIND_CONTAINER

    def objects(self) -> list[Kept]:
        """Return its Job and all its pods."""
        return [*([] if self.job is None else [self.job]), *self.pods.values()]

    @property
    def pod(self) -> Kept | None:
        """The newest pod: one that lives before one that is gone."""
        pods = sorted(self.pods.values(), key=lambda kept: (not kept.deleted, created(kept.raw)))
        return pods[-1] if pods else None


def keep(raw: Object, *, deleted: bool) -> Kept:
    """Return what is kept of an object that was not known."""
    metadata = raw["metadata"]
    until = unix_time(metadata.get("deletionTimestamp"))
    asked = None if until is None else until - (metadata.get("deletionGracePeriodSeconds") or 0)
    return Kept(raw, deleted, asked)


def unix_time(text: str | None) -> float | None:
    """Return a time of Kubernetes in seconds; None for what is not one."""
    try:
        return None if text is None else datetime.fromisoformat(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def attempt_of(raw: Object) -> AttemptId | None:
    """Return whose object this is by its labels, or None if they name no attempt."""
    labels = labels_of(raw)
    task_id, attempt = labels.get(LABEL_TASK_ID), labels.get(LABEL_ATTEMPT, "")
    return AttemptId(task_id, int(attempt)) if task_id and attempt.isdecimal() else None


def labels_of(raw: Object) -> Object:
    """Return the labels of an object."""
    found: Object = raw.get("metadata", {}).get("labels") or {}
    return found


def version_of(raw: Object) -> int:
    """Return the resource version of an object or of a list."""
    text = raw.get("metadata", {}).get("resourceVersion") or "0"
    return int(text) if text.isdecimal() else 0


def created(raw: Object) -> str:
    """Return when an object was created: times of Kubernetes sort as text."""
    return str(raw.get("metadata", {}).get("creationTimestamp", ""))
