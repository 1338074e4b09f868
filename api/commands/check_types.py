"""`taskpost types check FILE`: say what is wrong in a file of task types, or what it defines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from api.catalog import own_secrets, pods_of
from api.described import Descriptions
from api.known_types import known_types
from api.settings import SettingsError, read_settings
from api.strict_yaml import place
from api.text import visible
from api.type_file import MAX_FAULTS, OF_CODE, ROOT, TypeFileInvalid, check_type_file

if TYPE_CHECKING:
    from api.type_file import TypeFile

SETTINGS: Final = ("executor", "own_secrets", "pod_file", "runner_secret", "task_modules", "task_path")
"""The settings that say something of task types: a file is checked even if others are wrong."""


def check_types(path: str, *, as_json: bool = False, output: str = "") -> str:
    """Return what a file defines: a line for each type; `as_json`, a JSON object that has its faults too.

    `output` is where the file is written to with what the code says of its types filled in; `-` puts it into the
    object.

    Raises:
        ValueError: if the file cannot be read; unless `as_json`, if it cannot be used. The message names the file.
    """
    found = _found(path)
    if found.faults and not as_json:
        raise ValueError(f"{path} cannot be used:\n{TypeFileInvalid(Path(path), found)}")
    if not as_json:
        return "\n".join(f"{one['name']}: {visible(one['description']) or 'no description'}" for one in _types(found))
    text = _complete(found) if output and not found.faults else ""
    if text and output != "-":
        _write(output, text)
    return json.dumps(_report(path, found) | {"document": text})


def _found(path: str) -> TypeFile:
    try:
        settings = read_settings(SETTINGS, task_types_file=Path(path), data_dir=Path())
        pods = pods_of(settings) if settings.executor == "kubernetes" else None
        return check_type_file(
            Path(path),
            known_types(settings),
            {},
            secrets=own_secrets(settings),
            pods=pods,
            describe=Descriptions(settings.task_path),
        )
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    except SettingsError as error:
        raise ValueError(f"{path} was not checked, because a setting is wrong:\n{error}") from None


def _report(path: str, found: TypeFile) -> dict[str, Any]:
    return {
        "file": path,
        "valid": not found.faults,
        "faults": [
            {
                "place": place(*fault.path),
                "message": visible(fault.what),
                "line": found.document.line((*fault.path, *fault.inner)),
            }
            for fault in found.faults[:MAX_FAULTS]
        ],
        "more_faults": max(0, len(found.faults) - MAX_FAULTS),
        "task_types": [] if found.faults else _types(found),
    }


def _types(found: TypeFile) -> list[dict[str, Any]]:
    return [
        {"name": name, "description": one.description, "input_schema": one.input_schema, "example": one.example}
        for name, one in found.definitions.items()
    ]


def _complete(found: TypeFile) -> str:
    """Return the file with what the code of its functions says of them."""
    entries = {}
    for name, given in found.document.value[ROOT].items():
        one = found.definitions.get(name)
        of_code = {} if one is None or one.python is None else {member: getattr(one, member) for member in OF_CODE}
        entries[name] = {member: value for member, value in of_code.items() if value} | given
    return yaml.safe_dump({ROOT: entries}, sort_keys=False, allow_unicode=True)


def _write(output: str, text: str) -> None:
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{output} cannot be written: {error.strerror or error}") from None
