"""Finds all that is wrong with the input schema of a task type: what cannot be compiled, and what would check nothing.

JSON Schema ignores a keyword that it does not know, so a misspelt one checks nothing. And a schema that no object fits
refuses every task, because the input of a task is an object.
"""

from __future__ import annotations

from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from jsonschema_rs import validator_for

from api.core.input_schema import DIALECTS, InputSchemaError, compile_schema, reference_errors
from api.nearest import VERY_ALIKE, nearest, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jsonschema_rs import ValidationError, Validator

    from api.core.input_schema import Place

Json = Any

TYPES: Final = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_ONE: Final = frozenset(
    {
        *("additionalItems", "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not"),
        *("propertyNames", "then", "unevaluatedItems", "unevaluatedProperties"),
    }
)
_MANY: Final = frozenset({"allOf", "anyOf", "items", "oneOf", "prefixItems"})
_NAMED: Final = frozenset(
    {"$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"}
)
_OTHERS: Final = frozenset(
    {
        *("$anchor", "$comment", "$dynamicAnchor", "$dynamicRef", "$id", "$recursiveAnchor", "$recursiveRef", "$ref"),
        *("$schema", "$vocabulary", "const", "contentEncoding", "contentMediaType", "default", "dependentRequired"),
        *("deprecated", "description", "enum", "examples", "exclusiveMaximum", "exclusiveMinimum", "format", "id"),
        *("maxContains", "maxItems", "maxLength", "maxProperties", "maximum", "minContains", "minItems", "minLength"),
        *("minProperties", "minimum", "multipleOf", "pattern", "readOnly", "required", "title", "type", "uniqueItems"),
        "writeOnly",
    }
)
_KEYWORDS: Final = _ONE | _MANY | _NAMED | _OTHERS
_ANNOTATIONS: Final = frozenset(
    {"discriminator", "enumDescriptions", "enumNames", "example", "externalDocs", "nullable", "xml"}
)
"""What other programs read in schemas, and no mistake."""
_KNOWN: Final = _KEYWORDS | _ANNOTATIONS
_NEWER: Final = frozenset({"", *(dialect for dialect in DIALECTS if "/draft/" in dialect)})
"""Dialects whose own schema lists its errors in linear time: the older ones have an `anyOf` at each level."""
MOST_FAULTS: Final = 50


def schema_errors(schema: Mapping[str, Json]) -> list[InputSchemaError]:
    """Return what is wrong with an input schema; nothing if it can be used. At most `MOST_FAULTS`, each place once."""
    found: dict[Place, InputSchemaError] = {}
    for error in chain(reference_errors(schema), _form_errors(schema), _rule_errors(schema)):
        found.setdefault(error.place, error)
        if len(found) >= MOST_FAULTS:
            break
    if not found:
        try:
            compile_schema(schema)
        except InputSchemaError as error:
            return [_with_suggestion(error, schema)]
    return list(found.values())


def _with_suggestion(error: InputSchemaError, schema: Mapping[str, Json]) -> InputSchemaError:
    """Add the nearest definition to the message about a reference that leads nowhere."""
    reference = str(resolve(schema, "/" + "/".join(map(str, error.place)))) if error.place else ""
    _, _, name = reference.partition("#/$defs/")
    definitions = schema.get("$defs")
    if not name or not isinstance(definitions, dict):
        return error
    return InputSchemaError(error.place, f"{error.reason}: {suggestion(name, definitions)}")


def _form_errors(schema: Mapping[str, Json]) -> Iterator[InputSchemaError]:
    """Yield violations of the schema's dialect, and patterns that cannot be used."""
    dialect = schema.get("$schema", "")
    if isinstance(dialect, str) and dialect.rstrip("#") in _NEWER:
        for error in _validator(dialect or max(DIALECTS)).iter_errors(dict(schema)):
            yield InputSchemaError(tuple(error.instance_path), _reason(error))
    for place, node in subschemas(schema):
        patterns = [((*place, "pattern"), node.get("pattern"))]
        named = node.get("patternProperties")
        patterns += [((*place, "patternProperties", name), name) for name in (named if isinstance(named, dict) else ())]
        for where, pattern in patterns:
            if not isinstance(pattern, str):
                continue
            try:
                compile_schema({"pattern": pattern})
            except InputSchemaError as error:
                yield InputSchemaError(where, error.reason)


@cache
def _validator(dialect: str) -> Validator:
    """Return what checks the form of schemas."""
    return validator_for({"$schema": dialect, "$ref": dialect}, offline=True)


def _reason(error: ValidationError) -> str:
    path, given = error.instance_path, error.instance
    if path and path[-1] == "type" and isinstance(given, str) and path[-2:-1] != ["properties"]:
        return f"{given!r} is not a type of JSON: {suggestion(given, TYPES)}"
    return error.message


def _rule_errors(schema: Mapping[str, Json]) -> Iterator[InputSchemaError]:
    refusal = _refuses_objects(schema, schema, {})
    if refusal is not None:
        place, why = refusal
        rule = "the input of a task is an object: describe it as {type: object, properties: {...}}"
        yield InputSchemaError(place, f"{why}, and {rule}")
    for place, node in subschemas(schema):
        for keyword in node:
            if keyword in _KNOWN or keyword.startswith("x-"):
                continue
            if near := nearest(keyword, _KEYWORDS, VERY_ALIKE):
                yield InputSchemaError((*place, keyword), f"unknown keyword; did you mean {near}?")
        if not {"not", "if"} & set(place):
            yield from _required_errors(place, node)


def _required_errors(place: Place, node: Mapping[str, Json]) -> Iterator[InputSchemaError]:
    """Yield the names that an object must have and may not have."""
    required, properties = node.get("required"), node.get("properties", {})
    if node.get("additionalProperties") is not False or "patternProperties" in node:
        return
    if not isinstance(required, list) or not isinstance(properties, dict):
        return
    for index, name in enumerate(required):
        if isinstance(name, str) and name not in properties:
            why = "is required, but is not in `properties`, and `additionalProperties: false` allows nothing else"
            yield InputSchemaError((*place, "required", index), f"{name!r} {why}: {suggestion(name, properties)}")


def _refuses_objects(node: Json, root: Mapping[str, Json], seen: dict[str, bool]) -> tuple[Place, str] | None:
    """Return where a schema refuses every object, and why; None if it cannot be seen that it does.

    `seen` has what each reference leads to, so that none is followed twice.
    """
    if not isinstance(node, dict):
        return ((), "`false` accepts nothing") if node is False else None
    own = _own_refusal(node)
    if own is not None:
        return own
    reference = node.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        if reference not in seen:
            seen[reference] = False
            seen[reference] = _refuses_objects(resolve(root, unquote(reference)), root, seen) is not None
        if seen[reference]:
            return ("$ref",), f"{reference} accepts no object"
    for keyword, decide in (("allOf", any), ("anyOf", all), ("oneOf", all)):
        branches = node.get(keyword)
        listed = branches if isinstance(branches, list) else []
        found = [_refuses_objects(one, root, seen) is not None for one in listed]
        if found and decide(found):
            return (keyword,), "it accepts no object"
    return None


def _own_refusal(node: Mapping[str, Json]) -> tuple[Place, str] | None:
    """Return which keyword of a schema refuses every object by itself."""
    types = [node["type"]] if isinstance(node.get("type"), str) else node.get("type")
    if isinstance(types, list) and types and "object" not in types and TYPES.issuperset(map(str, types)):
        return ("type",), f"{', '.join(map(str, types))} accepts no object"
    if "const" in node and not isinstance(node["const"], dict):
        return ("const",), "it is not an object"
    values = node.get("enum")
    if isinstance(values, list) and values and not any(isinstance(value, dict) for value in values):
        return ("enum",), "none of it is an object"
    return None


def resolve(schema: Json, pointer: str) -> Json:
    """Return the value at a JSON pointer, or None."""
    node = schema
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict):
            node = node.get(name)
        elif isinstance(node, list) and name.isdecimal() and int(name) < len(node):
            node = node[int(name)]
        else:
            return None
    return node


def subschemas(schema: Mapping[str, Json]) -> Iterator[tuple[Place, dict[str, Json]]]:
    """Yield a schema and all in it, each with its place. Skips data such as `const`."""
    open_: list[tuple[Place, Json]] = [((), dict(schema))]
    while open_:
        place, node = open_.pop()
        if not isinstance(node, dict):
            continue
        yield place, node
        for keyword, value in node.items():
            if keyword in _ONE:
                open_.append(((*place, keyword), value))
            if keyword in _MANY and isinstance(value, list):
                open_ += [((*place, keyword, index), item) for index, item in enumerate(value)]
            if keyword in _NAMED and isinstance(value, dict):
                open_ += [((*place, keyword, name), item) for name, item in value.items()]
