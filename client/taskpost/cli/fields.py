"""The fields of a task's input on the command line: `key=value`, typed by a JSON Schema, and `key:=JSON`."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

WORDS: Final = {
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a JSON array",
    "object": "a JSON object",
    "null": "null",
}

_TYPES: Final[dict[type, tuple[str, ...]]] = {
    bool: ("boolean",),
    int: ("integer", "number"),
    float: ("number",),
    str: ("string",),
    list: ("array",),
    dict: ("object",),
    type(None): ("null",),
}


def parse_fields(arguments: Sequence[str], schema: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """Return the fields by their keys; the schema is asked for only if a value needs one.

    Raises:
        click.UsageError: naming the argument, and what was expected.
    """
    fields: dict[str, Any] = {}
    known: Mapping[str, Any] | None = None
    for argument in arguments:
        key, equals, value = argument.partition("=")
        is_json = key.endswith(":")
        key = key.removesuffix(":")
        if not equals or not key:
            raise click.UsageError(f"{argument!r} is not a field: write key=value, or key:=JSON.")
        if key in fields:
            raise click.UsageError(f"The field {key!r} is given twice.")
        if is_json:
            fields[key] = parse_json(value, f"{key}:=")
        else:
            known = schema() if known is None else known
            fields[key] = _typed(key, value, known)
    return fields


def parse_json(text: str | bytes, where: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the JSON value of a text, as strictly as the service reads it.

    Raises:
        click.UsageError: naming where it stands, and what is wrong.
    """
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8-sig")
        return json.loads(decoded, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{where} is not valid JSON: {error}.") from error


def _typed(key: str, text: str, schema: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    types = set(_types(schema.get("properties", {}).get(key, {}), schema))
    allowed = [name for name in WORDS if name in types]
    try:
        value = parse_json(text, key)
        if any(_is(value, name) for name in allowed):
            return value
    except click.UsageError:
        pass
    if allowed and "string" not in types:
        raise click.UsageError(f"{key}={text}: expected {' or '.join(WORDS[name] for name in allowed)}.")
    return text


def _types(schema: Any, root: Mapping[str, Any]) -> Iterator[str]:  # noqa: ANN401 - a schema may be true or false
    """Yield the types that a schema allows, some more than once. Each part of it is read once: it may be recursive."""
    parts, seen = [schema], set()
    while parts:
        part = parts.pop()
        if not isinstance(part, dict) or id(part) in seen:
            continue
        seen.add(id(part))
        named = part.get("type", ())
        yield from [named] if isinstance(named, str) else named
        for value in [*part.get("enum", ()), *([part["const"]] if "const" in part else ())]:
            yield from (name for name in [*WORDS, "string"] if _is(value, name))
        parts += [*part.get("anyOf", ()), *part.get("oneOf", ()), *part.get("allOf", ())]
        reference = part.get("$ref", "")
        if reference == "#":
            parts.append(root)
        elif reference.startswith("#/$defs/"):
            parts.append(root.get("$defs", {}).get(reference.removeprefix("#/$defs/")))


def _is(value: object, name: str) -> bool:
    return name in _TYPES[type(value)] or (name == "integer" and isinstance(value, float) and value.is_integer())


def _refuse(constant: str) -> Any:  # noqa: ANN401 - never returns
    raise ValueError(f"{constant} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has the same key twice")
    return found
