"""Runs a program, and says what it used.

It is a small process of its own that starts the program: to the kernel a process is never smaller at its peak than the
one that started it, and a benchmark is larger than what it measures.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LIMIT_SECONDS = 60.0
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
LAUNCHER = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time of all its threads, user and system, and the most memory it had at a time."""

    cpu_seconds: float
    peak_bytes: int


def usage_of(command: Sequence[str], environment: Mapping[str, str] = os.environ) -> Usage:
    """Run a program to its end.

    Raises:
        RuntimeError: if it fails.
    """
    launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER, *command]
    done = subprocess.run(
        launcher, env=dict(environment), capture_output=True, text=True, timeout=LIMIT_SECONDS, check=True
    )
    exit_code, cpu_seconds, peak = done.stdout.split()[-3:]
    if exit_code != "0":
        raise RuntimeError(f"{json.dumps(command)} ended with {exit_code}: {done.stderr}")
    return Usage(float(cpu_seconds), int(peak) * MAXRSS_UNIT)


def usage_of_python(code: str) -> Usage:
    """Run a few lines of Python."""
    return usage_of([sys.executable, "-P", "-c", code])
