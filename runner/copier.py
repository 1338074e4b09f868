"""Copies what a runner writes, and keeps the end of it, which the runner hands over with its outcome. For pods.

The process that a container begins with becomes the copier, and the runner goes on as its child. A thread could not do
it: it stands still while a C function holds the interpreter, which waits for the thread once the pipe is full.
"""

from __future__ import annotations

import mmap
import os
import select
import signal
import sys
from contextlib import suppress
from typing import Final, NoReturn

from runner.descendants import die_with_parent
from runner.end_as import end_as
from runner.tail_file import KEPT_BYTES, from_line_start

READ_BYTES: Final = 64 * 1024
LAST_READS: Final = 64
"""How often the pipe is read before an answer and at the end: what other processes still write may have no end."""
ANSWER_MILLISECONDS: Final = 2000
HEAD_BYTES: Final = 8
OUTPUT: Final = 1
HANDLED: Final = (signal.SIGTERM, signal.SIGCHLD)


class OutputCopy:
    """The runner's side: asks the copier for the end of what was written."""

    def __init__(self, ask: int, answered: int, shared: mmap.mmap) -> None:
        self._ask, self._answered, self._shared = ask, answered, shared
        self._identities = (_identity(ask), _identity(answered))

    def end(self) -> tuple[bytes, bool] | None:
        """Return the end of all that was written until now, and whether there was more before it.

        None if the copier does not answer: the task's code may have closed the descriptors, or taken them over.
        """
        with suppress(Exception):  # memory, too, may be used up
            for stream in (sys.stdout, sys.stderr):
                with suppress(Exception):  # the task may have replaced or closed it
                    stream.flush()
            if (_identity(self._ask), _identity(self._answered)) != self._identities:
                return None
            os.write(self._ask, b"?")
            waiting = select.poll()
            waiting.register(self._answered, select.POLLIN)
            if waiting.poll(ANSWER_MILLISECONDS) and os.read(self._answered, 1):
                written = int.from_bytes(self._shared[:HEAD_BYTES], "little")
                data = self._shared[HEAD_BYTES : HEAD_BYTES + min(written, KEPT_BYTES)]
                return (data, False) if written <= KEPT_BYTES else (from_line_start(data), True)
        return None


def divide() -> OutputCopy | None:
    """Go on as a child whose output is copied; None, in this process itself, if that is not possible."""
    copier, mask = os.getpid(), signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        shared = mmap.mmap(-1, HEAD_BYTES + KEPT_BYTES)
        pipes = [os.pipe() for _ in range(3)]
        pid = os.fork()
    except OSError:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return None
    (output, written), (asked, ask), (answered, answer) = pipes
    if pid:
        for descriptor in (written, ask, answered):
            os.close(descriptor)
        _Copier(pid, output, asked, answer, shared).copy()
    if sys.platform == "linux":
        die_with_parent(copier)
    os.dup2(written, 1)
    os.dup2(written, 2)
    for descriptor in (output, written, asked, answer):
        os.close(descriptor)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return OutputCopy(ask, answered, shared)


class _Copier:
    def __init__(self, pid: int, output: int, asked: int, answer: int, shared: mmap.mmap) -> None:
        self._pid, self._output, self._asked, self._answer, self._shared = pid, output, asked, answer, shared
        self._tail, self._written = bytearray(), 0
        self._woken, wake = os.pipe()
        for descriptor in (output, asked, answer, self._woken, wake):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGTERM, self._pass_on)  # also while the log does not take what is written
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        self._poll = select.poll()
        for descriptor in (output, asked, self._woken):
            self._poll.register(descriptor, select.POLLIN)

    def copy(self) -> NoReturn:
        """Copy until the runner ends, and what is in the pipe then; end as the runner did."""
        status = None
        while status is None:
            ready = {descriptor for descriptor, _ in self._poll.poll()}
            if self._output in ready and self._read() == b"":
                self._poll.unregister(self._output)
            if self._asked in ready:
                self._answer_all()
            if self._woken in ready:
                with suppress(BlockingIOError):
                    os.read(self._woken, READ_BYTES)
            pid, found = os.waitpid(self._pid, os.WNOHANG)
            status = found if pid else None
        self._read_what_is_there()
        end_as(status)

    def _pass_on(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGTERM)

    def _answer_all(self) -> None:
        if not os.read(self._asked, READ_BYTES):  # the runner has closed it
            self._poll.unregister(self._asked)
            return
        self._read_what_is_there()
        self._shared[:HEAD_BYTES] = self._written.to_bytes(HEAD_BYTES, "little")
        self._shared[HEAD_BYTES : HEAD_BYTES + len(self._tail)] = bytes(self._tail)
        with suppress(OSError):
            os.write(self._answer, b"!")

    def _read_what_is_there(self) -> None:
        for _ in range(LAST_READS):
            if not self._read():
                break

    def _read(self) -> bytes | None:
        """Copy some output and return it: nothing at its end, None if there is none now."""
        try:
            data = os.read(self._output, READ_BYTES)
        except BlockingIOError:
            return None
        self._tail += data
        self._written += len(data)
        del self._tail[:-KEPT_BYTES]
        rest = data
        with suppress(OSError):  # nobody reads the log any more, or its disk is full: the task goes on
            while rest:
                rest = rest[os.write(OUTPUT, rest) :]
        return data


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
