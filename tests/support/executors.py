"""An executor that starts and shows what it is told to: the faults of a real one cannot be made to order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from api.core.log_tail import LogTail
from api.core.observation import AttemptId, Observation, Phase, StopReason

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from api.executors.base import AttemptSpec


class ScriptedExecutor:
    """`faults` gives what a call raises, by the name of the method and the id of the task ('': all tasks)."""

    ends_with_service = True
    stop_deletes_log = False
    trouble = None
    own_addresses = ()

    def __init__(self) -> None:
        self.faults: dict[tuple[str, str], Callable[[], BaseException | None]] = {}
        self.held: dict[tuple[str, str], asyncio.Event] = {}
        self.shown: dict[AttemptId, Observation] = {}
        self.started: list[AttemptSpec] = []
        self.stopped: list[tuple[AttemptId, StopReason]] = []
        self.calls: list[tuple[str, str]] = []
        self.ends: asyncio.Queue[Observation] = asyncio.Queue()
        self.logs: dict[AttemptId, LogTail] = {}

    async def _call(self, name: str, about: str = "") -> None:
        self.calls.append((name, about))
        for key in ((name, about), (name, "")):
            if key in self.held:
                await self.held[key].wait()
            fault = self.faults[key]() if key in self.faults else None
            if fault is not None:
                raise fault

    async def open(self) -> None:
        await self._call("open")

    async def close(self) -> None:
        await self._call("close")

    async def start(self, spec: AttemptSpec) -> None:
        await self._call("start", spec.attempt_id.task_id)
        self.shown[spec.attempt_id] = Observation(spec.attempt_id, Phase.ALIVE)
        self.started.append(spec)

    async def stop(self, attempt_id: AttemptId, reason: StopReason) -> None:
        await self._call("stop", attempt_id.task_id)
        self.stopped.append((attempt_id, reason))

    async def forget(self, attempt_id: AttemptId) -> None:
        await self._call("forget", attempt_id.task_id)
        self.shown.pop(attempt_id, None)

    async def read_log(self, attempt_id: AttemptId) -> LogTail:
        await self._call("read_log", attempt_id.task_id)
        return self.logs.get(attempt_id, LogTail())

    async def refresh(self) -> None:
        await self._call("refresh")

    async def list(self) -> list[Observation]:
        await self._call("list")
        return list(self.shown.values())

    async def watch(self) -> AsyncGenerator[Observation, None]:
        while True:
            yield await self.ends.get()
