"""Follows Jobs, pods and Events: a list, then a watch from its version, and from the start again after any fault."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from api.cancellation import cancel, is_being_cancelled
from api.executors.kubernetes.client import ApiError
from api.executors.kubernetes.faults import SERVER_ERROR, TOO_MANY, UNREACHABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.core.observation import AttemptId
    from api.executors.kubernetes.attempts import Attempts
    from api.executors.kubernetes.client import Cluster
    from api.executors.kubernetes.seen import Object

logger = logging.getLogger(__name__)

KINDS: Final = ("jobs", "pods", "events", "admissions")
EVENT_FIELDS: Final = {"events": "type=Warning", "admissions": "involvedObject.kind=Workload"}
"""Which Events are followed: warnings, and all Events about Kueue's Workloads."""
GONE: Final = 410
SILENT: Final = frozenset({UNREACHABLE, TOO_MANY})
FROM_CACHE: Final = "0"
"""The version of a list that the API server answers from its cache. That may lag: the watch from there catches up."""
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 10.0
SHORT_WATCH_SECONDS: Final = 1.0
"""A watch that is over sooner than this has not worked, however it ended."""


class Follower:
    """Keeps `attempts` up to date, and calls `changed` with those that have changed.

    `answers` is called with whether the API server answers.
    """

    def __init__(
        self,
        cluster: Cluster,
        selector: str,
        attempts: Attempts,
        changed: Callable[[set[AttemptId]], None],
        answers: Callable[..., None],
    ) -> None:
        self._cluster = cluster
        self._selector = selector
        self._attempts = attempts
        self._changed = changed
        self._answers = answers
        self._following: list[asyncio.Task[None]] = []
        self._expired: set[str] = set()
        """The kinds whose cached version is too old for a watch: their next list bypasses the cache."""

    def begin(self) -> None:
        """Follow, in the background."""
        self._following = [asyncio.create_task(self._follow(kind), name=f"follow-{kind}") for kind in KINDS]

    async def end(self) -> None:
        """Stop following."""
        await cancel(*self._following)

    async def _follow(self, kind: str) -> None:
        """List and watch, for ever. The pause before the next list grows until a watch has worked for a while."""
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = loop.time()
            seconds = await self._follow_once(kind)
            if loop.time() - began > LONGEST_PAUSE_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            await asyncio.sleep(max(pause, seconds))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _follow_once(self, kind: str) -> float:
        """List and watch until an error; return the seconds of the API server's Retry-After, or 0."""
        loop = asyncio.get_running_loop()
        try:
            version = await self._list(kind)
            self._answers(answering=True)
            while True:
                began = loop.time()
                version = await self._watch(kind, version)
                if loop.time() - began < SHORT_WATCH_SECONDS:
                    logger.warning("watch_interrupted", extra={"kind": kind, "reason": "it ended at once"})
                    return 0.0
        except ApiError as error:
            if error.status == GONE:
                self._expired.add(kind)
                return 0.0
            self._answers(answering=not (error.status in SILENT or error.status >= SERVER_ERROR))
            logger.warning("watch_interrupted", extra={"kind": kind, "reason": error.message})
            return error.retry_after_seconds or 0.0
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise
            logger.exception("watch_failed", extra={"kind": kind})
        except Exception:
            logger.exception("watch_failed", extra={"kind": kind})
        return 0.0

    def _query(self, kind: str) -> dict[str, str]:
        fields = EVENT_FIELDS.get(kind)
        return {"fieldSelector": fields} if fields else {"labelSelector": self._selector}

    async def _list(self, kind: str) -> str:
        """Take all there is; return the version from which to watch."""
        from_cache = {} if kind in self._expired else {"resourceVersion": FROM_CACHE}
        self._expired.discard(kind)
        listed = await self._cluster.list(kind, **self._query(kind), **from_cache)
        if kind in EVENT_FIELDS:
            for event in listed.get("items") or ():
                self._take(kind, "ADDED", event)
        else:
            self._changed(self._attempts.take_list(kind, listed))
        self._attempts.drop_vanished(time.monotonic())
        return str(listed["metadata"]["resourceVersion"])

    async def _watch(self, kind: str, version: str) -> str:
        """Take changes until the watch's time is over; return the version from which to go on."""
        async for change, raw in self._cluster.watch(kind, version, **self._query(kind)):
            version = str(raw["metadata"]["resourceVersion"])
            if change != "BOOKMARK":
                self._take(kind, change, raw)
        self._attempts.drop_vanished(time.monotonic())
        return version

    def _take(self, kind: str, change: str, raw: Object) -> None:
        """Take a change. A change that cannot be read does not stop the others."""
        try:
            if kind in EVENT_FIELDS:
                self._attempts.take_event(raw)
            elif (attempt_id := self._attempts.take(kind, change, raw)) is not None:
                self._changed({attempt_id})
        except Exception:
            logger.exception("change_unreadable", extra={"kind": kind})
