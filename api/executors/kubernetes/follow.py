"""Follows Jobs, pods and warnings: a list, then a watch from its version, and from the start again after any fault."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from api.executors.kubernetes.client import ApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from api.core.observation import AttemptId
    from api.executors.kubernetes.attempts import Attempts
    from api.executors.kubernetes.client import Cluster
    from api.executors.kubernetes.seen import Object

logger = logging.getLogger(__name__)

KINDS: Final = ("jobs", "pods", "events")
GONE: Final = 410
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 10.0


class Follower:
    """Keeps `attempts` up to date, and tells `changed` of those of which anything is new."""

    def __init__(
        self,
        cluster: Cluster,
        selector: str,
        attempts: Attempts,
        changed: Callable[[set[AttemptId]], Awaitable[None]],
    ) -> None:
        self._cluster = cluster
        self._selector = selector
        self._attempts = attempts
        self._changed = changed
        self._following: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        """Follow, in the background."""
        self._following = [asyncio.create_task(self._follow(kind), name=f"follow-{kind}") for kind in KINDS]

    async def end(self) -> None:
        """Stop following."""
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)

    async def _follow(self, kind: str) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                version = await self._list(kind)
                pause = FIRST_PAUSE_SECONDS
                while True:
                    version = await self._watch(kind, version)
            except ApiError as error:
                if error.status == GONE:
                    continue
                logger.warning("watch_interrupted", extra={"kind": kind, "reason": error.message})
                seconds = max(pause, error.retry_after_seconds or 0)
            except Exception:
                logger.exception("watch_failed", extra={"kind": kind})
                seconds = pause
            await asyncio.sleep(seconds)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _query(self, kind: str) -> dict[str, str]:
        return {"fieldSelector": "type=Warning"} if kind == "events" else {"labelSelector": self._selector}

    async def _list(self, kind: str) -> str:
        """Take all there is; return the version from which to watch."""
        forgotten = self._attempts.forgotten()
        listed = await self._cluster.list(kind, **self._query(kind))
        if kind == "events":
            for event in listed.get("items", ()):
                self._attempts.take_warning(event)
        else:
            await self._changed(self._attempts.take_list(kind, listed, forgotten))
        self._attempts.drop_vanished(time.monotonic())
        return str(listed["metadata"]["resourceVersion"])

    async def _watch(self, kind: str, version: str) -> str:
        """Take changes until the watch's time is over; return the version from which to go on."""
        async for change, raw in self._cluster.watch(kind, version, **self._query(kind)):
            version = str(raw["metadata"]["resourceVersion"])
            if change != "BOOKMARK":
                await self._take(kind, change, raw)
        self._attempts.drop_vanished(time.monotonic())
        return version

    async def _take(self, kind: str, change: str, raw: Object) -> None:
        if kind == "events":
            self._attempts.take_warning(raw)
            return
        attempt_id = self._attempts.take(kind, change, raw)
        if attempt_id is not None:
            await self._changed({attempt_id})
