"""The task type that the runner is measured with. Alone in its module, so that nothing else is imported with it."""

from __future__ import annotations

import time

from runner.tasks import Progress, task_type
from runner.tasks.inputs import TaskInput

SENDING_SECONDS = 0.05


class Nothing(TaskInput):
    """No input."""


@task_type("cpu_until_progress", example={})
def cpu_until_progress(task_input: Nothing, progress: Progress) -> float:
    """Report progress once, and return the CPU time of the process when that is sent."""
    progress(1)
    time.sleep(SENDING_SECONDS)
    return time.process_time()
