"""The task type `sleep`."""

from __future__ import annotations

import time
from typing import Any, Final

from pydantic import ConfigDict, Field

from runner.tasks import Progress, task_type
from runner.tasks.inputs import Number, TaskInput

EXAMPLE: Final[dict[str, Any]] = {"seconds": 5}
"""It is also the input of a task that is submitted without one."""
MAX_SECONDS: Final = 86_400
SPARE_SECONDS: Final = 60
"""How much longer than its sleep a task may run."""

_STEP_SECONDS: Final = 0.25


class SleepInput(TaskInput):
    """How long to wait."""

    model_config = ConfigDict(json_schema_extra={"default": EXAMPLE})

    seconds: Number = Field(ge=0, le=MAX_SECONDS, description="How long to wait, in seconds; may have a fraction")


@task_type(
    "sleep",
    example=EXAMPLE,
    max_timeout_seconds=MAX_SECONDS + SPARE_SECONDS,
    default_timeout_seconds=lambda task_input: task_input["seconds"] + SPARE_SECONDS,
)
def sleep(task_input: SleepInput, progress: Progress) -> dict[str, Any]:
    """Wait for a number of seconds: to try out how tasks are run.

    Returns the `slept_seconds`.
    """
    seconds = task_input.seconds
    start = time.monotonic()
    while (elapsed := time.monotonic() - start) < seconds:
        progress(100 * elapsed / seconds)
        time.sleep(min(_STEP_SECONDS, seconds - elapsed))
    return {"slept_seconds": seconds}
