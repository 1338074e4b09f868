"""The task types of Python modules, which the service imports: each is checked before the service starts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from api.core.input_schema import InputSchemaError, compile_schema
from api.settings import SettingsError
from runner.tasks.registry import TaskModuleError, load_all
from runner.texts import error_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.settings import Settings
    from runner.tasks.registry import TaskType

MAX_REASON_CHARACTERS = 500


def known_types(settings: Settings) -> Mapping[str, TaskType]:
    """Import the modules and return their task types and the built-in ones, by name.

    Raises:
        SettingsError: if a module cannot be imported, or a type of one cannot be used; it names all of these.
    """
    label = settings.label("task_modules")
    try:
        known = load_all(settings.task_modules, settings.task_path)
    except TaskModuleError as error:
        raise SettingsError(f"{label}: {error}") from None
    faults = [f"{label}: task type {name}: {why}" for name, one in known.items() if (why := _fault(one))]
    if faults:
        raise SettingsError("\n".join(faults))
    return known


def _fault(task_type: TaskType) -> str | None:
    """Return why a type cannot be used. Its description must be JSON, because the list of types contains it."""
    try:
        schema = task_type.input_schema
    except Exception as error:  # noqa: BLE001 - whatever a model raises
        return f"its model has no JSON Schema: {error_text(error, MAX_REASON_CHARACTERS)}"
    shown = {"input_schema": schema, "example": task_type.example, "description": task_type.description}
    for member, value in shown.items():
        try:
            json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            return f"{member}: it is not JSON: {error_text(error, MAX_REASON_CHARACTERS)}"
    try:
        compile_schema(schema)
    except InputSchemaError as error:
        return str(error)
    return None
