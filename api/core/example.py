"""Makes an example input from a schema, for task types that give none. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.core.input_schema import InputSchemaError, compile_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def example_of(schema: Mapping[str, Any], *preferred: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the first input that fits a schema: a preferred one, else one from the schema itself, else {}.

    A schema tells it by `examples`, by `default`, or by such values of the members that it requires.
    """
    try:
        is_valid = compile_schema(schema).is_valid
    except InputSchemaError:
        return {}
    for candidate in (*preferred, *_values(schema), _of_members(schema)):
        if isinstance(candidate, dict) and is_valid(candidate):
            return candidate
    return {}


def _of_members(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return an object of the required members, None if one of them has no value of its own."""
    required, properties = schema.get("required", ()), schema.get("properties", {})
    made = {}
    for name in required:
        member = properties.get(name)
        values = list(_values(member)) if isinstance(member, dict) else []
        if not values:
            return None
        made[str(name)] = values[0]
    return made


def _values(schema: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the values that a schema names."""
    examples, values = schema.get("examples"), schema.get("enum")
    yield from examples if isinstance(examples, list) else ()
    yield from (schema[name] for name in ("example", "default", "const") if name in schema)
    yield from values if isinstance(values, list) else ()
