"""Processes that may outlive the service: each holds the lock of a file while it lives, and the file says who it is.

The lock comes with a file descriptor that the process inherits, so it is released when the process is over, however
that came about: the release proves an end, as no pid can. A pid is only for signals, and is checked before each.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

import psutil

from api.embedded import lock
from api.embedded.identity import format_identity, identify, parse_identity
from runner.contract import Env

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

MARK: Final = Env.LOCK_FILE
"""The environment variable by which all that a process started can be told from strangers."""


class Process(Protocol):
    """A process that leads a session and a group of its own, and all in this group."""

    def signal(self, number: int) -> None:
        """Send a signal to the whole group. If it is over already, nothing happens."""
        ...

    def wait(self) -> int | None:
        """Block until the process is over, then kill what it left in its group.

        Returns its return code as `subprocess` has it, or None if nobody could see it.
        """
        ...


class Child(Process):
    """A process that we started."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self._reaping = threading.Lock()

    @property
    def pid(self) -> int:
        """The pid, which is that of its group and session too."""
        return self._popen.pid

    def signal(self, number: int) -> None:
        """Signal the group. The pid is certain: it is ours until we reap it."""
        with self._reaping:
            if self._popen.returncode is None:
                _signal_group(self.pid, number)

    def wait(self) -> int:
        """Block until it is over; its group is killed before it is reaped, while the pid cannot be used again."""
        if hasattr(os, "waitid"):
            with suppress(ChildProcessError):  # reaped by the kernel, where SIGCHLD was ignored from the start
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        else:  # macOS before Python 3.13
            self._popen.wait()
        with self._reaping:
            _signal_group(self.pid, signal.SIGKILL)
            return self._popen.wait()


class Survivor(Process):
    """A process of an earlier service, known by its lock's file alone. `alive`: whether it lived when it was found."""

    def __init__(self, lock_path: Path) -> None:
        self._lock_path = lock_path
        self._descriptor = lock.open_lock(lock_path)
        self.identity = parse_identity(lock_path.read_text(encoding="utf-8", errors="replace"))
        self.alive = not lock.try_lock(self._descriptor)

    def signal(self, number: int) -> None:
        """Signal the group if it is provably the one; without a pid nothing can be signalled."""
        if self.identity is None:
            return
        if identify(self.identity.pid) == self.identity:
            _signal_group(self.identity.pid, number)
            return
        for pid in self._left_in_group(self.identity.pid):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def wait(self) -> None:
        """Block until the lock is free. Call it once: the lock's file is closed then."""
        lock.wait_lock(self._descriptor)
        self.signal(signal.SIGKILL)
        os.close(self._descriptor)

    def _left_in_group(self, leader: int) -> Iterator[int]:
        """The members of a group without its leader. After a restart the number may be a stranger's: hence the mark."""
        for pid in psutil.pids():
            with suppress(OSError, psutil.Error):
                if os.getsid(pid) == leader and psutil.Process(pid).environ().get(MARK) == str(self._lock_path):
                    yield pid


def spawn(
    lock_path: Path, command: Sequence[str], *, directory: Path, environment: Mapping[str, str], output: Path
) -> Child:
    """Start a process in a session of its own, which holds the lock. Its output is appended to a file.

    Raises:
        OSError: if it cannot be started (`BlockingIOError`: the lock is held); then nothing of it is left.
    """
    descriptor = lock.open_lock(lock_path)
    try:
        if not lock.try_lock(descriptor):
            raise BlockingIOError(f"{lock_path} is locked by another process")
        lock.write(descriptor, "")
        with output.open("ab") as file:
            popen = subprocess.Popen(  # noqa: S603 - the command is from our own settings
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env={**environment, MARK: str(lock_path)},
                start_new_session=True,
                pass_fds=(descriptor,),
            )
        return _sign(descriptor, Child(popen))
    finally:
        os.close(descriptor)


def _sign(descriptor: int, child: Child) -> Child:
    """Write into the lock's file whose it is; a process that could not be found again is ended at once."""
    try:
        identity = identify(child.pid)
        lock.write(descriptor, format_identity(identity) if identity else "")
    except OSError:
        child.signal(signal.SIGKILL)
        child.wait()
        raise
    return child


def call_at_end(process: Process, callback: Callable[[int | None], object]) -> None:
    """Call `callback` in the running event loop, with the return code, when the process is over.

    A thread waits for it, and is a daemon: nothing of ours waits for the end of a process when the service ends.

    Raises:
        RuntimeError: if no thread can be started.
    """
    loop = asyncio.get_running_loop()

    def wait() -> None:
        return_code = process.wait()
        with suppress(RuntimeError):  # the loop is closed: nobody wants to know any more
            loop.call_soon_threadsafe(callback, return_code)

    threading.Thread(target=wait, name="end-of-process", daemon=True).start()


def _signal_group(leader: int, number: int) -> None:
    # PermissionError: how macOS says that only a zombie is left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
