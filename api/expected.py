"""Messages for values that pydantic refuses, in place of its own: they state what is expected. Pure."""

from __future__ import annotations

from types import NoneType
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

_BOUNDS: Final = {"ge": "of at least", "gt": "above", "le": "up to", "lt": "below"}
_EXPECTED: Final = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a number that is finite",
    "bool": "true or false",
    "string": "text",
    "string_unicode": "text in UTF-8",
    "string_too_long": "text of at most {max_length} characters",
    "string_too_short": "text that is not empty",
    "too_short": "a list that is not empty",
    "bytes": "text",
    "dict": "an object",
    "mapping": "an object",
    "model": "an object",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "path": "a path",
    "datetime": "a time with its zone, such as 2026-12-01T09:30:00Z",
    "timezone": "a time with its zone, such as 2026-12-01T09:30:00Z",
    "missing": "a value",
    "none": "no value",
}
"""By a kind of pydantic's errors, or by what it begins with: `int` for `int_parsing`."""
_BOUND_OF_KIND: Final = {
    "greater_than_equal": "ge",
    "greater_than": "gt",
    "less_than_equal": "le",
    "less_than": "lt",
}


def allowed(field: FieldInfo) -> str | None:
    """Return the values of a setting that is a number, a choice or a truth value: `a whole number from 1 to 10`."""
    if get_origin(field.annotation) is Literal:
        *most, last = get_args(field.annotation)
        return f"{', '.join(most)} or {last}"
    kind, *others = get_args(field.annotation) or (field.annotation,)
    if others not in ([], [NoneType]):
        return None
    if kind is bool:
        return _EXPECTED["bool"]
    if kind not in {int, float}:
        return None
    return f"{_EXPECTED[kind.__name__]}{_range(field.metadata)}"


def expected(error: ErrorDetails) -> str:
    """Return the message for a value that pydantic refuses; the text of our own errors stays."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return error["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        return "is not one of the known members"
    if kind == "literal_error":
        return f"Expected {context['expected']}"
    if kind in _BOUND_OF_KIND:
        bound = _BOUND_OF_KIND[kind]
        return f"Expected a number {_BOUNDS[bound]} {_plain(context[bound])}"
    text = _EXPECTED.get(kind) or _EXPECTED.get(kind.partition("_")[0], "another value")
    return f"Expected {text.format_map(context)}"


def _range(metadata: Iterable[object]) -> str:
    found: Mapping[str, Any] = {
        name: getattr(one, name) for one in metadata for name in _BOUNDS if getattr(one, name, None) is not None
    }
    if found.keys() == {"ge", "le"}:
        return f" from {_plain(found['ge'])} to {_plain(found['le'])}"
    texts = [f"{text} {_plain(found[name])}" for name, text in _BOUNDS.items() if name in found]
    return f" {' and '.join(texts)}" if texts else ""


def _plain(number: float) -> str:
    """Return a number without an exponent and without trailing zeros."""
    return str(int(number)) if number == int(number) else str(number)
