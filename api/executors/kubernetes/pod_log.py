"""Reads what the container of an attempt has written, through the API server, while its pod exists."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

from api.core.log_tail import LogTail, tail_of
from api.executors.kubernetes.client import ApiError
from api.executors.kubernetes.faults import FORBIDDEN, NOT_FOUND, SERVER_ERROR, TOO_MANY, UNREACHABLE
from api.executors.kubernetes.job import LABEL_ATTEMPT, LABEL_TASK_ID
from api.executors.kubernetes.seen import created
from api.executors.kubernetes.template import CONTAINER
from api.text import visible

if TYPE_CHECKING:
    from api.core.observation import AttemptId
    from api.executors.kubernetes.client import Cluster
    from api.executors.kubernetes.seen import Object, Seen

BAD_REQUEST: Final = 400
"""The answer about a container that has not begun, or that the kubelet has deleted."""
LINES: Final = 8192
FEW_LINES: Final = 4
"""Container runtimes cut lines at 16 KiB: so many are 64 KiB at most."""
MOST_STREAMED_BYTES: Final = 16 * 1024 * 1024
SILENT_SECONDS: Final = 60.0
"""How long no log is asked for of a node that did not answer: the ends of attempts wait for the answer."""
MOST_SILENT: Final = 10_000
MAX_NOTE_CHARACTERS: Final = 300
GONE: Final = "Its pod was gone before its output could be read"
_KUBELET_ERROR: Final = re.compile(
    rb"\s*(unable to retrieve container logs for \S+|failed to (try resolving symlinks|open log file) [^\n]+)\s*"
)
"""A kubelet that has deleted the container answers with 200, and has this error in place of the output."""


class PodLogs:
    """The logs of the pods of an instance, which `selector` selects."""

    def __init__(self, cluster: Cluster, selector: str) -> None:
        self._cluster = cluster
        self._selector = selector
        self._silent: dict[str, float] = {}

    async def read(self, attempt_id: AttemptId, seen: Seen | None) -> LogTail:
        """Return the end of what an attempt has written; `seen` is None for a service that does not follow the cluster.

        A fault of the cluster is the note of a log without data.
        """
        try:
            pod = await self._find(attempt_id) if seen is None else _newest(seen)
            if pod is None:
                return LogTail() if seen is None else LogTail(note=GONE)
            node = str(pod.get("spec", {}).get("nodeName", ""))
            if time.monotonic() < self._silent.get(node, 0.0):
                return LogTail(note=f"Its output cannot be read: node {node} did not answer lately")
            return await self._read(pod["metadata"]["name"], node)
        except ApiError as error:
            return _unread(error)

    async def _find(self, attempt_id: AttemptId) -> Object | None:
        labels = {LABEL_TASK_ID: attempt_id.task_id, LABEL_ATTEMPT: str(attempt_id.attempt)}
        selector = ",".join([self._selector, *(f"{name}={value}" for name, value in labels.items())])
        pods = (await self._cluster.list("pods", labelSelector=selector)).get("items") or ()
        return max(pods, key=created, default=None)

    async def _read(self, pod: str, node: str) -> LogTail:
        try:
            found = await self._cluster.read_log(pod, CONTAINER, LINES, MOST_STREAMED_BYTES)
            if found is None:  # lines so long that there is no time to see the end
                found = await self._cluster.read_log(pod, CONTAINER, FEW_LINES, MOST_STREAMED_BYTES) or (b"", True)
        except ApiError as error:
            if error.status in {UNREACHABLE, TOO_MANY} or error.status >= SERVER_ERROR:
                if len(self._silent) >= MOST_SILENT:
                    del self._silent[next(iter(self._silent))]
                self._silent[node] = time.monotonic() + SILENT_SECONDS
            raise
        self._silent.pop(node, None)
        data, truncated = found
        if _KUBELET_ERROR.fullmatch(data):
            return LogTail(note=GONE)
        return tail_of(data, truncated=truncated)


def _newest(seen: Seen) -> Object | None:
    pod = seen.pod
    return None if pod is None or pod.deleted else pod.raw


def _unread(error: ApiError) -> LogTail:
    if error.status == BAD_REQUEST and "is terminated" not in error.message:
        return LogTail()
    if error.status in {BAD_REQUEST, NOT_FOUND}:
        return LogTail(note=GONE)
    if error.status == FORBIDDEN:
        return LogTail(note="Its output cannot be read: the service needs the verb get for pods/log in its Role")
    return LogTail(note=f"Its output cannot be read: {visible(error.message)[:MAX_NOTE_CHARACTERS]}")
