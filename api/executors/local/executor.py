"""The local executor: an attempt is a process with a session and a directory of its own, and outlives the service.

Its parent is a keeper (`runner.keeper`), which outlives the service too: it bounds what the attempt writes, and ends
what the attempt leaves. To the service an attempt is its keeper: it lives, is signalled and ends as that does.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import shutil
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from api.core.log_tail import tail_of
from api.core.observation import AttemptId, Cause, Observation, Phase, StopReason
from api.embedded import output
from api.embedded.environment import base_environment
from api.embedded.process import Process, call_at_end, spawn
from api.executors.base import AttemptSpec, Executor, StartError
from api.executors.local.directories import LOCK_NAME, LOG_NAME, WORK_NAME, find_attempts
from api.executors.local.observe import observe_end
from runner.attempt import Command
from runner.contract import Env
from runner.tail_file import MAX_FILE_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

    from api.core.log_tail import LogTail
    from api.embedded.process import Survivor

logger = logging.getLogger(__name__)

# -P: a task's code is never taken from the directory that it happens to run in.
KEEPER_COMMAND: Final = (sys.executable, "-P", "-m", "runner", "keep")
KILL_MARGIN_SECONDS: Final = 5.0
"""How long after the grace period a keeper is killed that has not killed its attempt: it may hang or be stopped."""
LIMIT_MARGIN_SECONDS: Final = 120.0
TRIM_INTERVAL_SECONDS: Final = 10.0


@dataclass(slots=True)
class _Attempt:
    """`overdue_at` is when its keeper ends it by itself, by the clock of the event loop.

    `held`: a process of a given-up attempt is still alive, so its directory stays until that ends.
    """

    process: Process | None
    observation: Observation
    overdue_at: float = math.inf
    held: bool = False
    kill: asyncio.TimerHandle | None = None


class LocalExecutor(Executor):
    """Runs attempts as processes of this user. `directory` is ours alone, and holds a directory for each attempt."""

    ends_with_service = True
    attempt_kind = "processes"

    def __init__(
        self,
        directory: Path,
        *,
        grace_seconds: float,
        start_deadline_seconds: float = 600.0,
        command: Sequence[str] = (),
    ) -> None:
        """`command` is what an attempt runs, for tests; without one it is the runner."""
        self._directory = directory
        self._grace_seconds = grace_seconds
        self._start_deadline_seconds = start_deadline_seconds
        self._command = command
        self._attempts: dict[AttemptId, _Attempt] = {}
        self._over: asyncio.Queue[Observation | None] = asyncio.Queue()
        self._trimming: asyncio.TimerHandle | None = None

    async def check(self) -> str:
        """See that an attempt can have a directory."""
        probe = self._directory / "check"
        try:
            probe.mkdir(mode=0o700, exist_ok=True)
            probe.rmdir()
        except OSError as error:
            raise StartError(f"no directory can be made for an attempt: {error}") from error
        return "attempts are processes of this machine"

    @property
    def running(self) -> int:  # type: ignore[override]
        """How many attempts run now."""
        return sum(attempt.observation.phase is Phase.ALIVE for attempt in self._attempts.values())

    async def open(self) -> None:
        """Find the attempts that an earlier service left."""
        for attempt_id, survivor in await asyncio.to_thread(find_attempts, self._directory):
            self._adopt(attempt_id, survivor)
        self._trim_logs()

    async def start(self, spec: AttemptSpec) -> None:
        """Start an attempt in a directory of its own. Does not give way to others: a spawn is over in milliseconds."""
        if spec.attempt_id in self._attempts:
            return
        directory = self._path(spec.attempt_id)
        try:
            directory.mkdir(mode=0o700)
        except OSError as error:
            exists = isinstance(error, FileExistsError)  # of an earlier start; the next attempt has one of its own
            raise StartError(f"no directory can be made for the attempt: {error}", may_exist=exists) from error
        try:
            process = self._spawn(spec, directory)
        except (OSError, RuntimeError) as error:
            shutil.rmtree(directory, ignore_errors=True)
            raise StartError(f"the runner cannot be started: {error}") from error
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        overdue_at = asyncio.get_running_loop().time() + self._limit_seconds(spec)
        self._attempts[spec.attempt_id] = _Attempt(process, Observation(spec.attempt_id, Phase.ALIVE), overdue_at)

    async def stop(self, attempt_id: AttemptId, reason: StopReason) -> None:
        """Send TERM to the attempt's keeper: it passes that on, and kills all after the grace period."""
        attempt = self._attempts.get(attempt_id)
        if attempt is None or attempt.process is None:
            return
        if attempt.observation.phase is not Phase.ALIVE or attempt.observation.stop_asked:
            return
        attempt.observation = replace(attempt.observation, stop_asked=reason)
        attempt.process.signal(signal.SIGTERM)
        loop = asyncio.get_running_loop()
        kill_seconds = self._grace_seconds + KILL_MARGIN_SECONDS
        attempt.kill = loop.call_later(kill_seconds, attempt.process.signal, signal.SIGKILL)

    async def forget(self, attempt_id: AttemptId) -> None:
        """Drop an attempt that is over, and its directory."""
        attempt = self._attempts.get(attempt_id)
        if attempt is None or attempt.observation.phase is Phase.ALIVE:
            return
        del self._attempts[attempt_id]
        if attempt.held:
            return
        try:
            await asyncio.to_thread(shutil.rmtree, self._path(attempt_id), ignore_errors=True)
        except RuntimeError:  # no thread can be started now: it is forgotten with the next look
            self._attempts[attempt_id] = attempt
            raise

    async def read_log(self, attempt_id: AttemptId) -> LogTail:
        """Return the end of what an attempt has written: its keeper writes it to a file twenty times a second."""
        return tail_of(output.read_end(self._path(attempt_id) / LOG_NAME, MAX_FILE_BYTES))

    async def refresh(self) -> None:
        """Nothing to ask: the locks of attempts are watched."""

    async def list(self) -> Sequence[Observation]:
        """Return an observation of each attempt that is not forgotten."""
        return tuple(attempt.observation for attempt in self._attempts.values())

    async def watch(self) -> AsyncGenerator[Observation, None]:
        """Yield an observation of each attempt that is over, until this is closed. For one reader."""
        while (observation := await self._over.get()) is not None:
            yield observation

    async def close(self) -> None:
        """Stop observing."""
        for timer in (self._trimming, *(attempt.kill for attempt in self._attempts.values())):
            if timer is not None:
                timer.cancel()
        self._over.put_nowait(None)

    def _path(self, attempt_id: AttemptId) -> Path:
        return self._directory / str(attempt_id)

    def _spawn(self, spec: AttemptSpec, directory: Path) -> Process:
        work = directory / WORK_NAME
        work.mkdir(mode=0o700)
        environment = dict(spec.environment)
        if spec.definition is not None and spec.definition.command:
            command = Command(spec.definition.command, spec.definition.env, spec.definition.directory)
            environment[Env.COMMAND] = command.to_json()
        process = spawn(
            directory / LOCK_NAME,
            self._keeper_command(spec, directory / LOG_NAME),
            directory=work,
            # Unbuffered, so that the last words of a program that is killed are in the log.
            environment={**base_environment(os.environ), "PYTHONUNBUFFERED": "1", **environment},
            output=directory / LOG_NAME,
        )
        try:
            call_at_end(process, partial(self._ended, spec.attempt_id))
        except RuntimeError:
            process.signal(signal.SIGKILL)
            process.wait()
            raise
        return process

    def _keeper_command(self, spec: AttemptSpec, log: Path) -> Sequence[str]:
        return (*KEEPER_COMMAND, str(self._grace_seconds), str(self._limit_seconds(spec)), str(log), *self._command)

    def _limit_seconds(self, spec: AttemptSpec) -> float:
        """Return after how long a keeper ends an attempt that has not been ended: Redis may be away for ever."""
        return self._start_deadline_seconds + spec.timeout_seconds + LIMIT_MARGIN_SECONDS

    def _adopt(self, attempt_id: AttemptId, survivor: Survivor | None) -> None:
        attempt = self._attempts[attempt_id] = _Attempt(survivor, Observation(attempt_id, Phase.ALIVE))
        if survivor is not None and survivor.alive:
            if survivor.identity is not None:
                logger.info("attempt_adopted", extra={"attempt": str(attempt_id), "pid": survivor.identity.pid})
                call_at_end(survivor, partial(self._ended, attempt_id))
                return
            # The service died before it wrote the pid. What cannot be found by its mark is void by its attempt's token.
            attempt.held = True
            survivor.signal(signal.SIGKILL)
            logger.warning("attempt_without_pid", extra={"attempt": str(attempt_id)})
            call_at_end(survivor, lambda _: shutil.rmtree(self._path(attempt_id), ignore_errors=True))
        self._ended(attempt_id, None)

    def _ended(self, attempt_id: AttemptId, return_code: int | None) -> None:
        attempt = self._attempts[attempt_id]
        if attempt.kill is not None:
            attempt.kill.cancel()
        path = self._path(attempt_id)
        log_tail = output.tail(path / LOG_NAME)
        # What it needed on disk is free again before anything is recorded, which may need that space.
        with suppress(RuntimeError):  # no thread can be started now: `forget` removes it with the rest
            loop = asyncio.get_running_loop()
            loop.run_in_executor(None, partial(shutil.rmtree, path / WORK_NAME, ignore_errors=True))
        attempt.observation = observe_end(attempt.observation, return_code, log_tail)
        if attempt.observation.stop_asked is None and asyncio.get_running_loop().time() >= attempt.overdue_at:
            attempt.observation = replace(attempt.observation, cause=Cause.OVERDUE)
        self._over.put_nowait(attempt.observation)

    def _trim_logs(self) -> None:
        """Cut logs that have grown all the same: by an attempt of an earlier version, or by hand."""
        for attempt_id in self._attempts:
            output.trim(self._path(attempt_id) / LOG_NAME)
        self._trimming = asyncio.get_running_loop().call_later(TRIM_INTERVAL_SECONDS, self._trim_logs)
