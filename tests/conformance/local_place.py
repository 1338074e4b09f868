"""Where the conformance suite runs the local executor: its programs tell by a named pipe that they live."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from api.core.observation import AttemptId
from api.executors.base import AttemptSpec
from api.executors.local import LocalExecutor

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = Path(__file__).with_name("program.py")
COMMAND = (sys.executable, "-P", str(PROGRAM))


class LocalPlace:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.attempts = directory / "attempts"
        self.executor = self.make_executor()
        self._pipes: dict[str, int] = {}

    def make_executor(
        self, *, grace_seconds: float = 0.3, command: Sequence[str] = COMMAND, directory: Path | None = None
    ) -> LocalExecutor:
        return LocalExecutor(directory or self.attempts, grace_seconds=grace_seconds, command=command)

    def spec(self, task_id: str, program: str, attempt: int = 1, **environment: str) -> AttemptSpec:
        pipe = self.directory / f"{task_id}-{attempt}.pipe"
        if pipe.name not in self._pipes:
            with suppress(FileExistsError):
                os.mkfifo(pipe)
            self._pipes[pipe.name] = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        environment |= {"PROGRAM": program, "PIPE": str(pipe)}
        return AttemptSpec(AttemptId(task_id, attempt), "test", environment)

    async def begun(self, spec: AttemptSpec) -> None:
        """Wait until the program is where it should be."""
        assert await self._read(spec) == b"begun\n"

    async def nothing_left(self, spec: AttemptSpec) -> bytes:
        """Wait until no process of the attempt lives; return what they said until then."""
        said = b""
        while word := await self._read(spec):
            said += word
        return said

    async def reopen(self) -> None:
        """Let go of the executor as a service that ends does, and open one as the next service does."""
        await self.executor.close()
        self.executor = self.make_executor()
        await self.executor.open()

    async def close(self) -> None:
        await self.executor.close()
        for attempt in self.executor._attempts.values():  # what a test that failed has left
            if attempt.process is not None:
                attempt.process.signal(signal.SIGKILL)
        for pipe in self._pipes.values():
            os.close(pipe)

    async def _read(self, spec: AttemptSpec) -> bytes:
        loop, readable = asyncio.get_running_loop(), asyncio.Event()
        pipe = self._pipes[f"{spec.attempt_id}.pipe"]
        loop.add_reader(pipe, readable.set)
        try:
            async with asyncio.timeout(30):
                await readable.wait()
            return os.read(pipe, 6)
        finally:
            loop.remove_reader(pipe)
