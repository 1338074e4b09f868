"""Undoes what a task's code may have left set in the interpreter, so that its outcome can be recorded all the same."""

from __future__ import annotations

import resource
import signal
import sys
import threading
from contextlib import suppress
from typing import Final

LIMITS: Final = (
    resource.RLIMIT_NOFILE,
    resource.RLIMIT_NPROC,
    resource.RLIMIT_AS,
    resource.RLIMIT_DATA,
    resource.RLIMIT_CPU,
)
"""Whose soft values are raised to the hard ones: a task may have used up the one, or lowered it."""
LEAST_RECURSION_LIMIT: Final = 1000
TIMERS: Final = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
SIGNALS: Final = (signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGINT)


def calm_interpreter() -> None:
    """Stop timers and signals whose handlers could raise in our code, and restore limits that it needs."""
    if threading.current_thread() is threading.main_thread():
        for timer in TIMERS:
            signal.setitimer(timer, 0)
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    for limit in LIMITS:
        with suppress(OSError, ValueError):
            hard = resource.getrlimit(limit)[1]
            resource.setrlimit(limit, (hard, hard))
    sys.set_int_max_str_digits(0)
    if sys.getrecursionlimit() < LEAST_RECURSION_LIMIT:
        sys.setrecursionlimit(LEAST_RECURSION_LIMIT)
