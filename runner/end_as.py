"""Ends a process in the same way as its child: by the same signal or exit code."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import NoReturn


def end_as(status: int) -> NoReturn:
    """End as a process with this status did, by the same signal or with the same exit code."""
    exit_code = os.waitstatus_to_exitcode(status)
    if exit_code >= 0:
        os._exit(exit_code)
    number = -exit_code
    with suppress(OSError, ValueError, ImportError):
        import resource  # noqa: PLC0415 - for this end alone

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the core that matters has been written
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(128 + number)
