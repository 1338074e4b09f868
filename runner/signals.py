"""How a runner ends: at once on SIGTERM, and soon after its work is done."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Final

EXIT_SECONDS: Final = 3.0
"""How long Python may take to exit: it waits for threads that a task has left, and runs its `atexit` functions."""


def end_at_once_on_sigterm() -> None:
    """Let SIGTERM end this process at once, with the signal's number (`contract.EXIT_TERMINATED`) as its exit code.

    A handler in Python would wait for the running C function to return: minutes, inside one multiplication of long
    numbers. The default action would be ignored by a container's first process. So the handler is libc's own `_exit`,
    which is safe in a signal handler (POSIX) and takes as exit code what a handler is given: the signal's number.
    """
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    libc.signal.restype = ctypes.c_void_p
    libc.signal(int(signal.SIGTERM), ctypes.cast(libc._exit, ctypes.c_void_p))  # noqa: SLF001 - its name in POSIX


def end_soon(exit_code: int) -> None:
    """Let this process end within `EXIT_SECONDS`, however long Python would wait: others need its slot."""
    import threading  # noqa: PLC0415 - the runner has imported it by now

    timer = threading.Timer(EXIT_SECONDS, os._exit, (exit_code,))
    timer.daemon = True
    timer.start()
