"""The task type that the runner is measured with. Alone in its module, so that nothing else is imported with it."""

from __future__ import annotations

import os
import sys
import time

from runner.tasks import Progress, task_type
from runner.tasks.inputs import TaskInput

SENDING_SECONDS = 0.05


class Nothing(TaskInput):
    """No input."""


@task_type("cpu_until_progress", example={})
def cpu_until_progress(task_input: Nothing, progress: Progress) -> float:
    """Report progress once, and return the CPU time of the process when that is sent, with that of its keeper."""
    progress(1)
    time.sleep(SENDING_SECONDS)
    return time.process_time() + _cpu_seconds(os.getppid())


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of another process. Linux has a clock for each (clock_getcpuclockid(3))."""
    return time.clock_gettime(~pid << 3 | 2) if sys.platform == "linux" else 0.0
