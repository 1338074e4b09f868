"""The embedded Valkey: taken over or started, started again when it dies, ended with the service."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import signal
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from api.embedded import output
from api.embedded.binary import find_server
from api.embedded.environment import base_environment
from api.embedded.errors import ValkeyError
from api.embedded.process import Process, Survivor, call_at_end, spawn
from api.embedded.repair import repair

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from api.embedded.directory import DataDirectory

logger = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 30.0
"""How long a Valkey may be silent at its start. While it loads its data it says so, for as long as it needs."""
ADOPT_SECONDS: Final = 10.0
SILENCE_SECONDS: Final = 2.0
EXIT_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.02
STABLE_SECONDS: Final = 10.0
MAX_BACKOFF_SECONDS: Final = 5.0


ADVICE: Final = re.compile(r": make a backup of your AOF file.*")
"""A line of Valkey's log that advises a tool which is not installed."""
NOT_ASKED: Final = "?"
OUR_FAULTS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
"""Errors of this process when it connects. They are not a reason to end Valkey."""


@asynccontextmanager
async def embedded_valkey(data: DataDirectory) -> AsyncIterator[str]:
    """Keep a Valkey running on a directory that is entered, and give its address.

    Raises:
        ValkeyError: if none is found or it does not start.
    """
    server = _Server(data, await asyncio.to_thread(find_server))
    supervisor = None
    try:
        await server.start()
        supervisor = asyncio.create_task(server.supervise())
        yield server.url
    finally:
        if supervisor is not None:
            supervisor.cancel()
            await asyncio.wait([supervisor])
        await server.end()


class _Server:
    def __init__(self, data: DataDirectory, binary: Path) -> None:
        self._directory = data.valkey
        self._lock_path = data.valkey / "valkey.lock"
        self._log = data.valkey / "valkey.log"
        self._socket = data.socket_path()
        self._binary = binary
        self._process: Process | None = None
        self._over = asyncio.Event()
        self.url = f"unix://{quote(str(self._socket))}"

    async def start(self) -> None:
        """Take over the Valkey that an earlier service left, or start one; return when it answers.

        Raises:
            ValkeyError: if it does not.
        """
        try:
            if not await self._adopt():
                await self._start()
        except (OSError, RuntimeError) as error:  # RuntimeError: no thread can be started
            raise ValkeyError(f"The embedded Valkey ({self._binary}) cannot be started: {error}") from error

    async def _adopt(self) -> bool:
        survivor = Survivor(self._lock_path)
        try:
            self._take(survivor)
        except BaseException:
            survivor.close()  # else we ourselves would hold the lock
            raise
        if survivor.alive:
            if await self._answers(ADOPT_SECONDS):
                logger.info("valkey_adopted", extra={"pid": survivor.identity and survivor.identity.pid})
                return True
            if not await self._kill(survivor):
                raise ValkeyError(
                    f"A process that cannot be ended holds {self._lock_path}. End the valkey-server (or redis-server) "
                    f"that runs on {self._directory} by hand."
                )
        await self._over.wait()
        return False

    async def _start(self) -> None:
        if not self._binary.exists():  # an upgrade of the environment has replaced it
            self._binary = await asyncio.to_thread(find_server)
        if not await self._runs() and not (await self._repaired() and await self._runs()):
            raise ValkeyError(
                f"The embedded Valkey ({self._binary}) does not run on {self._directory}. The end of its log, "
                f"{self._log}:\n{ADVICE.sub('', output.tail(self._log)).strip()}\n"
                "Copy that directory before you change anything in it, or name another (--data-dir, TASKPOST_DATA_DIR)."
            )

    async def _runs(self) -> bool:
        """Start it; False if it ends or does not answer."""
        output.trim(self._log)
        child = spawn(
            self._lock_path,
            command(self._binary, self._directory, self._socket),
            directory=self._directory,
            environment=base_environment(os.environ),
            output=self._log,
        )
        try:
            self._take(child)
        except BaseException:
            child.signal(signal.SIGKILL)
            child.wait()
            raise
        if not await self._answers(ANSWER_SECONDS):
            await self._kill(child)
            return False
        logger.info("valkey_started", extra={"pid": child.pid, "directory": str(self._directory)})
        return True

    async def _repaired(self) -> bool:
        """Repair its file if a power loss has left zeros at its end. Returns False if it has no such damage.

        Raises:
            ValkeyError: if it is damaged otherwise.
        """
        if not self._over.is_set():
            return False
        done = await asyncio.to_thread(repair, self._directory)
        if done is None:
            return False
        facts = {"file": str(done.file), "offset": done.offset, "cut_bytes": done.cut_bytes, "copy": str(done.copy)}
        logger.warning("valkey_file_repaired", extra=facts)
        return True

    async def supervise(self) -> None:
        """Start it again whenever it is over, at once at first, then less and less often."""
        loop, pause = asyncio.get_running_loop(), 0.0
        while True:
            began = loop.time()
            await self._over.wait()
            pause = 0.0 if loop.time() - began > STABLE_SECONDS else pause
            logger.warning("valkey_ended", extra={"last_words": output.tail(self._log)[-500:]})
            while not await self._is_started_again(pause):
                pause = _longer(pause)
            pause = _longer(pause)

    async def _is_started_again(self, pause: float) -> bool:
        """Start it after a pause. The cause of a failure may pass: a full disk, no descriptors, a bug of ours."""
        await asyncio.sleep(pause)
        try:
            await self.start()
        except ValkeyError as error:
            logger.error("valkey_restart_failed", extra={"error": str(error)})  # noqa: TRY400 - the message is complete
        except Exception as error:
            logger.exception("valkey_restart_failed", extra={"error": repr(error)})
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            logger.exception("valkey_restart_failed", extra={"error": "a cancellation that a library leaked"})
        else:
            return True
        return False

    async def end(self) -> None:
        """End it, everything written. What does not end in time is killed: it loses nothing that it has answered."""
        if self._process is None or self._over.is_set():
            return
        await self._ask("SHUTDOWN")
        self._process.signal(signal.SIGTERM)
        if await self._is_over_within(EXIT_SECONDS) or await self._kill(self._process):
            logger.info("valkey_stopped")
        else:
            logger.error("valkey_not_stopped", extra={"lock": str(self._lock_path)})

    def _take(self, process: Process) -> None:
        over = asyncio.Event()
        call_at_end(process, lambda _return_code: over.set())
        self._process, self._over = process, over

    async def _kill(self, process: Process) -> bool:
        process.signal(signal.SIGKILL)
        return await self._is_over_within(EXIT_SECONDS)

    async def _is_over_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()
        return self._over.is_set()

    async def _answers(self, seconds: float) -> bool:
        """Wait until it answers; False if it is over, or silent for so long."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while not self._over.is_set() and loop.time() < until:
            answer = await self._ask("PING")
            if answer.startswith("+PONG"):
                return True
            if answer.startswith(("-LOADING", NOT_ASKED)):
                until = loop.time() + seconds
            await asyncio.sleep(POLL_SECONDS)
        return False

    async def _ask(self, request: str) -> str:
        """Return the first line of its answer, or nothing without one. A client library would hide that it loads."""
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self._socket)
                try:
                    writer.write(f"{request}\r\n".encode())
                    return (await reader.readline()).decode()
                finally:
                    writer.close()
        except OSError as error:  # a TimeoutError is one
            return NOT_ASKED if error.errno in OUR_FAULTS else ""


def _longer(pause: float) -> float:
    return min(max(2 * pause, POLL_SECONDS), MAX_BACKOFF_SECONDS)


def command(binary: Path, directory: Path, socket: Path) -> list[str]:
    """Return how a Valkey is started that keeps each answered write and listens to nobody but this user."""
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(directory),
        "appendonly": "yes",
        "appendfsync": "always",
        "aof-load-truncated": "yes",
        "save": "",
        "hash-max-listpack-value": "512",  # a record stays compact with a URL or a message of some length
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "notice",
        "logfile": "",
    }
    return [str(binary), *(word for name, value in options.items() for word in (f"--{name}", value))]
