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
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

import psutil

from api.embedded import lock
from api.embedded.identity import format_identity, identify, open_handle, parse_identity, wait_handle
from runner.contract import Env

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

LEFT_SECONDS: Final = 2.0
"""How long to wait for a killed process."""
LEFT_POLL_SECONDS: Final = 0.01
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

    def __init__(self, popen: subprocess.Popen[bytes], lock_path: Path) -> None:
        self._popen = popen
        self._lock_path = lock_path
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
            return_code = self._popen.wait()
        kill_left(self._lock_path)
        return return_code


class Survivor(Process):
    """A process of an earlier service, found by its lock's file. `alive`: whether it was alive then.

    With `follows_pid` it lives as long as the process that the file names: others that hold the lock are not it.
    """

    def __init__(self, lock_path: Path, *, follows_pid: bool = False) -> None:
        self._lock_path = lock_path
        self._descriptor = lock.open_lock(lock_path)
        self.identity = parse_identity(lock_path.read_text(encoding="utf-8", errors="replace"))
        self.alive = not lock.try_lock(self._descriptor)
        self._handle: int | None = None
        if follows_pid and self.identity is not None and self.alive:
            self._handle = open_handle(self.identity)
            self.alive = self._handle is not None or identify(self.identity.pid) == self.identity

    def signal(self, number: int) -> None:
        """Signal the process group if it is certainly the right one, else the processes with the mark of its lock."""
        if self.identity is not None and identify(self.identity.pid) == self.identity:
            _signal_group(self.identity.pid, number)
            return
        for process in _marked(self._lock_path):
            with suppress(OSError, psutil.Error):
                process.send_signal(number)

    def wait(self) -> None:
        """Block until it is over. Call it once: the lock's file is closed then."""
        if self._handle is not None:
            wait_handle(self._handle)
        elif self.alive:
            lock.wait_lock(self._descriptor)
        self.close()
        kill_left(self._lock_path)

    def close(self) -> None:
        """Close the lock's file if `wait` was never called; that releases a lock that was taken."""
        os.close(self._descriptor)


def kill_left(lock_path: Path) -> None:
    """Kill the processes that an ended process has left. An empty lock's file means that there are none."""
    with suppress(OSError):
        if not lock_path.stat().st_size:
            return
    killed = []
    with suppress(OSError, psutil.Error):  # no descriptor for /proc: that the process is over must be told all the same
        for process in _marked(lock_path):
            with suppress(OSError, psutil.Error):
                process.kill()
                killed.append(process)
    until = time.monotonic() + LEFT_SECONDS
    while any(map(_runs, killed)) and time.monotonic() < until:
        time.sleep(LEFT_POLL_SECONDS)


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _marked(lock_path: Path) -> Iterator[psutil.Process]:
    """Yield what was started with the mark of a lock. psutil sees whether a pid has been used again."""
    for process in psutil.process_iter():
        with suppress(OSError, psutil.Error):
            if process.pid != os.getpid() and process.environ().get(MARK) == str(lock_path):
                yield process


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
        return _sign(descriptor, Child(popen, lock_path))
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
