"""`python -m runner keep`: the parent of an attempt on one machine, which nothing that the attempt starts outlives.

It forks before anything is imported, so that it stays small; its child is the attempt. It reads what the attempt
writes, and keeps the end in a file. When the child has ended, it kills whatever that has left, and ends as it did.
On SIGTERM it passes that on, and kills all after a grace period. It needs no service for any of this.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from runner.contract import Env
from runner.descendants import become_subreaper, die_with_parent, kill_descendants, signal_descendants
from runner.end_as import end_as
from runner.tail_file import TailFile

if TYPE_CHECKING:
    from collections.abc import Sequence

READ_BYTES: Final = 64 * 1024
FLOOD_PAUSE_SECONDS: Final = 0.001
"""Pause after each full read: a program that writes without end is slowed to some 60 MB/s and costs no second CPU."""
FLUSH_SECONDS: Final = 0.05
FULL_DISK_PAUSE_SECONDS: Final = 1.0
KILL_SECONDS: Final = 5.0
"""How long to wait for killed processes: a process inside the kernel may not end."""
ROUND_SECONDS: Final = 0.02
LAST_READS: Final = 64
HANDLED: Final = frozenset({signal.SIGTERM, signal.SIGCHLD})
NOT_FOUND: Final = 127
FIRST_OTHER: Final = 3
"""The first descriptor that is not a standard stream."""


def main(arguments: Sequence[str]) -> int:
    """Run an attempt: `GRACE_SECONDS LIMIT_SECONDS LOG_FILE [COMMAND...]`, without a command the runner itself.

    After the limit, a safety net for an attempt that no service ends, it does what it does on SIGTERM.

    Returns an exit code in the child, whose program it is; the parent does not return.
    """
    grace_seconds, limit_seconds, log_file, *command = arguments
    output, written = os.pipe()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    keeper = os.getpid()
    if sys.platform == "linux":
        become_subreaper()
    pid = os.fork()
    if pid == 0:
        _become_attempt(keeper, written)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return _execute(command) if command else _run()
    os.close(written)
    times = Times(float(grace_seconds), time.monotonic() + float(limit_seconds))
    return _Keeper(pid, output, TailFile(log_file), times).keep()


def _become_attempt(keeper: int, written: int) -> None:
    if sys.platform == "linux":
        die_with_parent(keeper)
    os.setsid()
    os.dup2(written, 1)
    os.dup2(written, 2)
    for name in os.listdir("/dev/fd"):  # noqa: PTH208 - the lock above all, which proves that the keeper lives
        if int(name) >= FIRST_OTHER:
            with suppress(OSError):
                os.close(int(name))


def _execute(command: Sequence[str]) -> int:
    try:
        os.execvp(command[0], list(command))  # noqa: S606 - the command is from our own settings
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error.strerror}\n")
        return NOT_FOUND


def _run() -> int:
    from runner.signals import end_at_once_on_sigterm  # noqa: PLC0415 - in the child alone

    end_at_once_on_sigterm()
    from runner.execute import main as execute  # noqa: PLC0415 - in the child alone

    return execute()


class Times(NamedTuple):
    """How long an attempt has between TERM and KILL, and when all its time is over, by the monotonic clock."""

    grace_seconds: float
    limit: float


class _Keeper:
    def __init__(self, pid: int, output: int, log: TailFile, times: Times) -> None:
        self._pid = pid
        self._output = output
        self._log = log
        self._times = times
        self._kill_at: float | None = None
        self._flush_at = 0.0
        self._status: int | None = None
        os.set_blocking(output, False)
        self._woken, wake = os.pipe()
        for descriptor in (self._woken, wake):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wake)
        for number in HANDLED:
            signal.signal(number, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        self._poll = select.poll()
        self._poll.register(output, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)

    def keep(self) -> NoReturn:
        """Wait for the end of the attempt, and end all that it has left."""
        while self._status is None:
            self._wait()
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                self._kill_at = time.monotonic() + ROUND_SECONDS
                self._kill()
            self._reap()
        nothing_left = self._kill_what_is_left()
        for _ in range(LAST_READS):
            if not self._read():
                break
        self._log.flush()
        if nothing_left and Env.LOCK_FILE in os.environ:
            with suppress(OSError):
                os.truncate(os.environ[Env.LOCK_FILE], 0)  # nothing is left to look for
        end_as(self._status)

    def _wait(self) -> None:
        """Wait for output, a signal, or something that is due; write what was read."""
        ready = {descriptor for descriptor, _ in self._poll.poll(self._due_milliseconds())}
        if self._output in ready and self._read():
            ready.discard(self._output)
        if self._woken in ready:
            with suppress(BlockingIOError):
                if signal.SIGTERM in os.read(self._woken, READ_BYTES):
                    self._end()
        if time.monotonic() >= self._times.limit:
            self._end()
        if not self._log.is_flushed and time.monotonic() >= self._flush_at:
            pause = FLUSH_SECONDS if self._log.flush() else FULL_DISK_PAUSE_SECONDS
            self._flush_at = time.monotonic() + pause

    def _end(self) -> None:
        """Let the attempt end: TERM now, KILL after the grace period."""
        if self._kill_at is None:
            self._kill_at = time.monotonic() + self._times.grace_seconds
            self._terminate()

    def _due_milliseconds(self) -> float:
        due = [] if self._log.is_flushed else [self._flush_at]
        due.append(self._times.limit if self._kill_at is None else self._kill_at)
        return max(0.0, min(due) - time.monotonic()) * 1000

    def _read(self) -> bool:
        """Read some output; False if there is none now."""
        try:
            data = os.read(self._output, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:  # all that could write have closed it
            with suppress(KeyError):
                self._poll.unregister(self._output)
            return False
        self._log.write(data)
        if len(data) == READ_BYTES:
            time.sleep(FLOOD_PAUSE_SECONDS)
        return True

    def _reap(self) -> bool:
        """Reap ended children; False if none remain."""
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return True
                if pid == self._pid:
                    self._status = status
        return False

    def _kill_what_is_left(self) -> bool:
        until = time.monotonic() + KILL_SECONDS
        while self._reap():
            if time.monotonic() >= until:
                return False
            self._kill()
            select.select([self._woken], [], [], ROUND_SECONDS)
            with suppress(BlockingIOError):
                os.read(self._woken, READ_BYTES)
        if sys.platform != "linux":  # no subreaper there: only processes in its group can be found
            self._signal_group(signal.SIGKILL)
        return sys.platform == "linux"

    def _terminate(self) -> None:
        if sys.platform == "linux":
            signal_descendants(os.getpid(), signal.SIGTERM)
        else:
            self._signal_group(signal.SIGTERM)

    def _kill(self) -> None:
        if sys.platform == "linux":
            kill_descendants(os.getpid())
        else:
            self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, number)
