"""Task types for tests: each does one thing that a task should not, or that a test must steer."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from runner.tasks import Progress, task_type
from runner.tasks.inputs import TaskInput


class Nothing(TaskInput):
    """No input."""


class Gate(TaskInput):
    """`directory` holds a FIFO `gate`; what the task does is written into it as files of the attempt's number."""

    directory: str


class Anything(TaskInput):
    """Any JSON."""

    value: Any = None


@task_type("gate", example={"directory": "/tmp/x"})
def gate(task_input: Gate, progress: Progress) -> dict[str, Any]:
    """Say `begun`, then wait until the gate is opened for writing."""
    directory = Path(task_input.directory)
    progress(25)
    (directory / f"begun-{os.environ['TASKPOST_ATTEMPT']}").write_text(str(os.getpid()))
    (directory / "gate").read_bytes()
    return {"pid": os.getpid()}


@task_type("busy_in_c", example={"directory": "/tmp/x"})
def busy_in_c(task_input: Gate, progress: Progress) -> int:
    """Say `begun`, then stay for minutes inside one C call that keeps the interpreter's lock."""
    Path(task_input.directory, f"begun-{os.environ['TASKPOST_ATTEMPT']}").write_text(str(os.getpid()))
    return pow(3, 3**23) % 7


@task_type("raises", example={})
def raises(task_input: Nothing, progress: Progress) -> None:
    """Raise an exception after some progress."""
    progress(42.5)
    raise ValueError("the moon is not full \ud800")


@task_type("exits", example={})
def exits(task_input: Nothing, progress: Progress) -> None:
    """Leave the process with nothing recorded."""
    sys.stderr.write("these are my last words\n")
    sys.stderr.flush()
    os._exit(7)


@task_type("calls_exit", example={})
def calls_exit(task_input: Nothing, progress: Progress) -> None:
    """Ask Python to exit."""
    sys.exit(0)


@task_type("not_a_number", example={})
def not_a_number(task_input: Nothing, progress: Progress) -> dict[str, Any]:
    """Return what JSON cannot say."""
    return {"values": [1.0, float("nan")]}


@task_type("too_large", example={})
def too_large(task_input: Nothing, progress: Progress) -> str:
    """Return more than is delivered."""
    return "x" * (8 * 1024 * 1024 + 1)


@task_type("echo", example={"value": 1})
def echo(task_input: Anything, progress: Progress) -> Any:
    """Return the input."""
    return task_input.value
