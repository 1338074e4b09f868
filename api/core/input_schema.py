"""Compiles the input schemas of task types, by the same rules wherever one is read: nothing is ever fetched.

A schema is refused if a reference leaves it, or if a pattern cannot be matched in linear time: the client of a task
chooses the text that is matched.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urldefrag, urljoin

from jsonschema_rs import RegexOptions, Registry, ValidationError, Validator, validator_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Place = tuple[str | int, ...]

PATTERNS: Final = RegexOptions()
"""The linear engine: no look-around, no back-references, and compiled patterns of at most 10 MB."""
DIALECTS: Final = frozenset(
    {
        "https://json-schema.org/draft/2020-12/schema",
        "https://json-schema.org/draft/2019-09/schema",
        "http://json-schema.org/draft-07/schema",
        "http://json-schema.org/draft-06/schema",
        "http://json-schema.org/draft-04/schema",
    }
)
REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_DATA: Final = frozenset({"const", "default", "enum", "example", "examples"})
"""Keywords whose values are not schemas: what looks like a reference there is text."""


class InputSchemaError(ValueError):
    """An input schema cannot be used. `place` leads to the fault, from the root of the schema."""

    def __init__(self, place: Place, reason: str) -> None:
        super().__init__(f"input_schema: {f'at {where}: ' if (where := '.'.join(map(str, place))) else ''}{reason}")
        self.place = place
        self.reason = reason


def compile_schema(schema: Mapping[str, Any], registry: Registry | None = None) -> Validator:
    """Return the validator of a schema. Does no I/O.

    `registry` has the documents beside it that it may refer to.

    Raises:
        InputSchemaError: if the schema is not valid, leaves its document, has a pattern of unbounded cost, or refuses
            its own `default`, which is the input of a task that is submitted without one.
    """
    document = dict(schema)
    if registry is None:
        for error in reference_errors(document):
            raise error
    try:
        validator = validator_for(document, offline=True, pattern_options=PATTERNS, registry=registry)
    except ValidationError as error:
        raise InputSchemaError(_place(error, document), _reason(error)) from None
    except ValueError as error:
        raise InputSchemaError((), str(error)) from None
    if registry is None and "default" in document:
        _check_default(validator, document["default"])
    return validator


def _check_default(validator: Validator, default: Any) -> None:  # noqa: ANN401 - any JSON value
    try:
        json.dumps(default, ensure_ascii=False, allow_nan=False).encode()
        validator.validate(default)
    except ValidationError as error:
        raise InputSchemaError(("default", *error.instance_path), f"the schema refuses it: {error.message}") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise InputSchemaError(("default",), f"it is not JSON: {error}") from None


def reference_errors(document: Mapping[str, Any]) -> Iterator[InputSchemaError]:
    """Yield an error for each reference that leaves a schema, and for each dialect that is not known."""
    found = list(_references(document))
    own = {"", *(uri for _, keyword, uri in found if keyword == "$id")}
    for place, keyword, uri in found:
        if keyword == "$schema" and urldefrag(uri).url not in DIALECTS:
            why = f"{uri!r} is not a known dialect: use {max(DIALECTS)}, or leave it out"
            yield InputSchemaError(place, why)
        if keyword in REFERENCES and urldefrag(uri).url not in own:
            why = "leaves the schema, and nothing is fetched: put the definition under $defs and refer to #/$defs/NAME"
            yield InputSchemaError(place, f"{uri!r} {why}")


def _references(document: Mapping[str, Any]) -> Iterator[tuple[Place, str, str]]:
    """Yield place, keyword and resolved URI of every reference and every `$schema`."""
    open_: list[tuple[Place, Any, str]] = [((), document, "")]
    while open_:
        place, node, base = open_.pop()
        if isinstance(node, list):
            open_ += [((*place, index), item, base) for index, item in enumerate(node)]
        if not isinstance(node, dict):
            continue
        own = node.get("$id", node.get("id"))
        if isinstance(own, str) and not own.startswith("#"):
            base = urldefrag(_joined(base, own)).url
            yield (*place, "$id"), "$id", base
        for keyword in (*REFERENCES, "$schema"):
            if isinstance(uri := node.get(keyword), str):
                yield (*place, keyword), keyword, uri if keyword == "$schema" else _resolved(base, uri)
        open_ += [((*place, name), value, base) for name, value in node.items() if name not in _DATA]


def _resolved(base: str, reference: str) -> str:
    """A reference within the document keeps its own spelling: nothing is to be joined with it."""
    return reference if reference.startswith("#") or not reference else _joined(base, reference)


def _joined(base: str, reference: str) -> str:
    try:
        return urljoin(base, reference)
    except ValueError:  # not a URI at all, such as http://[
        return reference


def _place(error: ValidationError, document: Mapping[str, Any]) -> Place:
    """Find the place of a reference that leads nowhere: the library names the pointer or the anchor, not the place."""
    if error.instance_path or error.kind.name not in REFERENCES:
        return tuple(error.instance_path)
    named = (
        (place, (unquote(urldefrag(uri).fragment), urldefrag(uri).url, _at(document, place)))
        for place, keyword, uri in _references(document)
        if keyword in REFERENCES
    )
    return next((place for place, names in named if any(name and f"'{name}'" in error.message for name in names)), ())


def _at(document: Any, place: Place) -> str:  # noqa: ANN401 - any JSON value
    for step in place:
        document = document[step]
    return str(document)


def _reason(error: ValidationError) -> str:
    if error.kind.name == "format" and error.instance_path and _is_pattern(error.instance_path):
        return (
            f"{error.instance} is not a pattern that can be matched in linear time: "
            "look-around, back-references and very large repetitions are not allowed"
        )
    return error.message


def _is_pattern(path: list[str | int]) -> bool:
    return path[-1] == "pattern" or path[-2:-1] == ["patternProperties"]
