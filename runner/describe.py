"""`python -m runner describe [MODULE | MODULE:FUNCTION ...]`: definitions of task types, ready to be pasted."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.contract import Env
from runner.tasks.registry import BUILT_IN, TaskModuleError, add_path, load_all, refer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.tasks.registry import TaskType


def describe(arguments: Sequence[str]) -> str:
    """Return the definitions, as YAML, of the functions named, and of all in the modules named.

    Without arguments those of the modules in `TASKPOST_TASK_MODULES` are told.

    Raises:
        TaskModuleError: if one cannot be imported, or is no task type.
    """
    add_path([str(Path.cwd()), *filter(None, os.environ.get(Env.TASK_PATH, "").split(os.pathsep))])
    functions = [argument for argument in arguments if ":" in argument]
    modules = [argument for argument in arguments if ":" not in argument]
    if not arguments:
        modules = os.environ.get(Env.TASK_MODULES, "").replace(",", " ").split()
    found = {refer(function).name: refer(function) for function in functions}
    if modules:
        found |= {name: one for name, one in load_all(modules).items() if name not in BUILT_IN}
    return "task_types:\n" + "".join(f"  {line}\n" for one in found.values() for line in _lines(one))


def _lines(task_type: TaskType) -> Iterator[str]:
    """JSON is YAML too, on one line each."""
    function = task_type.function
    fields: dict[str, Any] = {
        "description": task_type.description,
        "python": f"{function.__module__}:{function.__qualname__}",
        "input_schema": task_type.input_schema,
        "example": task_type.example,
    }
    yield f"{task_type.name}:"
    yield from (f"  {name}: {json.dumps(value)}" for name, value in fields.items())


def main(arguments: Sequence[str]) -> int:
    """Print the definitions; return the exit code."""
    try:
        sys.stdout.write(describe(arguments))
    except TaskModuleError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0
