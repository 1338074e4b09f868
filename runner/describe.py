"""`python -m runner describe [MODULE | MODULE:FUNCTION ...]`: definitions of task types, ready to be pasted.

`describe --json` is for programs: it reads a JSON list of references, and prints what each function says of itself.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runner.contract import Env
from runner.tasks.registry import BUILT_IN, TaskModuleError, add_path, load_all, refer
from runner.texts import error_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.tasks.registry import TaskType

MAX_REASON_CHARACTERS: Final = 1000


def describe(arguments: Sequence[str]) -> str:
    """Return the definitions, as YAML, of the functions named, and of all in the modules named.

    Without arguments those of the modules in `TASKPOST_TASK_MODULES` are told.

    Raises:
        TaskModuleError: if one cannot be imported, or is not a task type.
    """
    add_path([str(Path.cwd()), *_task_path()])
    functions = [argument for argument in arguments if ":" in argument]
    modules = [argument for argument in arguments if ":" not in argument]
    if not arguments:
        modules = os.environ.get(Env.TASK_MODULES, "").replace(",", " ").split()
    found = {one.name: one for one in map(refer, functions)}
    if modules:
        found |= {name: one for name, one in load_all(modules).items() if name not in BUILT_IN}
    return "task_types:\n" + "".join(f"  {line}\n" for one in found.values() for line in _lines(one))


def describe_json(references: Sequence[str]) -> str:
    """Return a JSON object: for each reference what its function says of itself, or `error`. None stops another."""
    add_path(_task_path())
    return json.dumps({reference: _described(reference) for reference in references})


def _described(reference: str) -> dict[str, Any]:
    try:
        fields = _fields(refer(reference))
        json.dumps(fields, allow_nan=False, ensure_ascii=False).encode()
    except TaskModuleError as error:
        return {"error": str(error)}
    except Exception as error:  # noqa: BLE001 - whatever a model of the author's raises
        return {"error": f"{reference}: {error_text(error, MAX_REASON_CHARACTERS)}"}
    return fields


def _task_path() -> list[str]:
    return list(filter(None, os.environ.get(Env.TASK_PATH, "").split(os.pathsep)))


def _fields(task_type: TaskType) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "description": task_type.description,
        "python": task_type.reference,
        "input_schema": task_type.input_schema,
    }
    return fields | ({} if task_type.example is None else {"example": task_type.example})


def _lines(task_type: TaskType) -> Iterator[str]:
    """JSON is YAML too, on one line each."""
    yield f"{task_type.name}:"
    yield from (f"  {name}: {json.dumps(value)}" for name, value in _fields(task_type).items())


def main(arguments: Sequence[str]) -> int:
    """Print the definitions; return the exit code."""
    try:
        with redirect_stdout(sys.stderr):  # what a module prints when it is imported is no part of them
            text = describe_json(json.load(sys.stdin)) if arguments == ["--json"] else describe(arguments)
    except TaskModuleError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(text)
    return 0
