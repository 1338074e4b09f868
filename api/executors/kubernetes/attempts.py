"""What is known of all attempts of an instance: lists and changes of raw objects, put together. Pure."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from api.core.observation import AttemptId
from api.executors.kubernetes.raw import ENDED
from api.executors.kubernetes.seen import Admission, Kept, Seen, attempt_of, keep, version_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from api.executors.kubernetes.seen import Object

logger = logging.getLogger(__name__)

VANISHED_SECONDS: Final = 60.0
"""How long something is known of an attempt of which nothing is left: for whoever begins to lead then."""
JOB_PREFIX: Final = "tp-"
WORKLOAD_PREFIX: Final = "job-"
"""Kueue calls the Workload of a Job `job-<name of the Job>-<hash>`."""
NAMED_WITH_A_PART_MORE: Final = frozenset({"Pod", "Workload"})
ADMITTED: Final = frozenset({"QuotaReserved", "Admitted"})
"""Events of a Workload after which nothing keeps it from running."""
EVICTIONS: Final = ("Evicted", "Preempted")
"""Prefixes of the reasons of Events about an interruption."""
LOOKED_AT: Final = frozenset({"suspend", "nodeName"})
"""What is kept of the spec of a Job or a pod."""
MAX_WARNINGS: Final = 20
MAX_MESSAGE_CHARACTERS: Final = 2000


class Attempts:
    """Takes lists and changes in any order: of two views of an object, its resource version says which is newer."""

    def __init__(self) -> None:
        self._seen: dict[AttemptId, Seen] = {}
        self._forgotten: set[AttemptId] = set()
        self._vanished: dict[AttemptId, float] = {}

    def __iter__(self) -> Iterator[Seen]:
        return iter(tuple(self._seen.values()))

    def get(self, attempt_id: AttemptId) -> Seen | None:
        """Return what is known of an attempt."""
        return self._seen.get(attempt_id)

    def forget(self, attempt_id: AttemptId) -> None:
        """Drop an attempt; what is still listed of it for a while is passed over."""
        self._seen.pop(attempt_id, None)
        self._forgotten.add(attempt_id)

    def take_list(self, kind: str, listed: Object, forgotten_before: Iterable[AttemptId] = ()) -> set[AttemptId]:
        """Take a list of all Jobs or pods as they are; return the attempts of which anything is new.

        `forgotten_before` names those that were forgotten before the list was asked for: what is not in it any more
        will not come back.
        """
        version = version_of(listed)
        items = [raw for raw in listed.get("items") or () if is_object(raw)]
        present = {raw["metadata"]["uid"] for raw in items}
        taken = [self._take_if_readable(kind, raw) for raw in items]
        changed = {attempt_id for attempt_id in taken if attempt_id is not None}
        for seen in self:
            for kept in _kept(seen, kind):
                if not kept.deleted and kept.raw["metadata"]["uid"] not in present and kept.version <= version:
                    kept.deleted = True
                    changed.add(seen.attempt_id)
        if kind == "pods":
            self._forgotten -= set(forgotten_before) - {attempt_of(raw) for raw in items}
        return changed

    def _take_if_readable(self, kind: str, raw: Object) -> AttemptId | None:
        try:
            return self.take(kind, "MODIFIED", raw)
        except (AttributeError, KeyError, TypeError, ValueError):  # one strange object hides no other
            logger.exception("change_unreadable", extra={"kind": kind, "name_of_object": raw["metadata"]["name"]})
            return None

    def take(self, kind: str, change: str, raw: Object) -> AttemptId | None:
        """Take a Job or a pod as it was at a change; return whose it is if that is news."""
        if not is_object(raw):
            return None
        attempt_id = attempt_of(raw)
        if attempt_id is None or attempt_id in self._forgotten:
            return None
        raw = _trimmed(raw)
        deleted = change == "DELETED"
        seen = self._seen.get(attempt_id)
        if seen is None:
            # A pod that is over and has no Job is about to be collected: nobody is waiting for its end.
            if deleted or (kind == "pods" and (raw.get("status") or {}).get("phase") in ENDED):
                return None
            seen = self._seen[attempt_id] = Seen(attempt_id)
        before = seen.job if kind == "jobs" else seen.pods.get(raw["metadata"]["name"])
        if before is not None and (
            before.version > version_of(raw) or (before.version == version_of(raw) and not deleted)
        ):
            return None
        kept = keep(raw, deleted=deleted) if before is None else before.followed_by(raw, deleted=deleted)
        if kind == "jobs":
            seen.job = kept
        else:
            seen.pods[raw["metadata"]["name"]] = kept
        return attempt_id

    def take_event(self, event: Object) -> AttemptId | None:
        """Take a warning Event about the Job or pod of an attempt, or any Event about its Workload."""
        about = event.get("involvedObject") or {}
        kind, name = about.get("kind"), str(about.get("name", ""))
        if kind in NAMED_WITH_A_PART_MORE:
            name = name.rpartition("-")[0]
        task_id, _, attempt = name.removeprefix(WORKLOAD_PREFIX).removeprefix(JOB_PREFIX).rpartition("-")
        seen = self._seen.get(AttemptId(task_id, int(attempt))) if attempt.isdecimal() else None
        if seen is None:
            return None
        reason, message = str(event.get("reason", "")), str(event.get("message", ""))[:MAX_MESSAGE_CHARACTERS]
        if kind == "Workload":
            return seen.attempt_id if _take_admission(seen, reason, message, version_of(event)) else None
        if reason in seen.warnings or len(seen.warnings) < MAX_WARNINGS:
            seen.warnings[reason] = message
        return seen.attempt_id

    def forgotten(self) -> frozenset[AttemptId]:
        """Return the attempts that are passed over."""
        return frozenset(self._forgotten)

    def drop_vanished(self, now_seconds: float) -> None:
        """Drop attempts of which nothing has been left for long: another service has settled them."""
        for seen in self:
            alive = [kept for kind in ("jobs", "pods") for kept in _kept(seen, kind) if not kept.deleted]
            if alive:
                self._vanished.pop(seen.attempt_id, None)
            elif now_seconds - self._vanished.setdefault(seen.attempt_id, now_seconds) > VANISHED_SECONDS:
                del self._seen[seen.attempt_id], self._vanished[seen.attempt_id]


def _take_admission(seen: Seen, reason: str, message: str, version: int) -> bool:
    """Keep the newest message of Kueue about a Workload. Returns False if a newer one is kept already."""
    before = seen.admission or Admission(0)
    if version <= before.version:
        return False
    said = f"{reason}: {message}"
    if reason in ADMITTED:
        seen.admission = Admission(version)
    elif reason.startswith(EVICTIONS):
        seen.admission = Admission(version, eviction=said)
    else:
        seen.admission = replace(before, version=version, pending=said)
    return True


def _trimmed(raw: Object) -> Object:
    """Return an object without what nobody here looks at: most of its size, and there may be thousands."""
    metadata = {name: value for name, value in raw["metadata"].items() if name != "managedFields"}
    spec = {name: value for name, value in (raw.get("spec") or {}).items() if name in LOOKED_AT}
    return raw | {"metadata": metadata, "spec": spec}


def is_object(raw: Any) -> bool:  # noqa: ANN401 - what a server sent
    """Return whether this is an object with the names that every object has: a proxy may send anything."""
    metadata = raw.get("metadata") if isinstance(raw, dict) else None
    return isinstance(metadata, dict) and all(isinstance(metadata.get(name), str) for name in ("uid", "name"))


def _kept(seen: Seen, kind: str) -> list[Kept]:
    if kind == "pods":
        return list(seen.pods.values())
    return [] if seen.job is None else [seen.job]
