"""A task's result as JSON text. What is not JSON never leaves us: such a result is a failure that says so."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

from runner.contract import ErrorCode
from runner.forms import NO_FORM, plain_form
from runner.texts import bounded, error_text, repr_of, type_name

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SAFE_INTEGER: Final = 2**53
"""Up to it every JSON reader agrees on integers (RFC 8259, 6); beyond it they travel as decimal strings."""
MAX_DEPTH: Final = 400
MAX_PLACE_CHARACTERS: Final = 500
MAX_KEY_CHARACTERS: Final = 60
MAX_FAULT_CHARACTERS: Final = 500

Place = tuple["Place", object] | None
"""Where a value is in the result: the place of its container and its key there; None is the result itself."""


class ResultRefused(Exception):  # noqa: N818 - a verdict, not a mistake
    """A result cannot be delivered: `code` says why in a word, the message in a sentence."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def encode_result(result: object, max_bytes: int) -> str:
    """Return a result as compact JSON text.

    Raises:
        ResultRefused: if it is not JSON (NaN, a set, a cycle, ...), or longer than `max_bytes` in UTF-8.
    """
    try:
        plain = _Plain(max_bytes).value(result, None, 0)
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except ResultRefused:
        raise
    except RecursionError:
        raise _too_deep() from None
    except UnicodeEncodeError:
        raise _invalid("A string in the result is not Unicode text") from None
    except BaseException as error:  # noqa: BLE001 - the methods of a task's own classes may raise anything
        raise _invalid(f"The result cannot be read: {error_text(error, MAX_FAULT_CHARACTERS)}") from None
    if size > max_bytes:
        raise ResultRefused(
            ErrorCode.RESULT_TOO_LARGE, f"The result has {size} bytes; at most {max_bytes} are delivered"
        )
    return text


class _Plain:
    """Copies a result into plain JSON values. Subclasses are read through the built-in type, not their own methods.

    Each value needs a byte at least, so that `max_bytes` bounds their number: also of a mapping without an end.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_values = max_bytes + MAX_DEPTH  # a small result that holds itself is refused as that
        self._values = 0

    def value(self, value: Any, place: Place, depth: int) -> Any:  # noqa: ANN401, PLR0911 - any value a task may return
        self._values += 1
        if self._values > self._max_values:
            raise ResultRefused(ErrorCode.RESULT_TOO_LARGE, f"The result has more than {self._max_values} values")
        if depth > MAX_DEPTH:
            raise _too_deep()
        kind = type(value)
        if value is None or kind is bool:
            return value
        if issubclass(kind, str):
            return str.__str__(value)
        if issubclass(kind, int):
            number = int.__int__(value)
            return number if -MAX_SAFE_INTEGER <= number <= MAX_SAFE_INTEGER else str(number)
        if issubclass(kind, float):
            return _finite(float.__float__(value), place)
        if issubclass(kind, list | tuple):
            items = list.__iter__(value) if issubclass(kind, list) else tuple.__iter__(value)
            return [self.value(item, (place, index), depth + 1) for index, item in enumerate(items)]
        if issubclass(kind, dict):
            return dict(self._members(value, place, depth))
        plain = plain_form(value)
        if plain is not NO_FORM:
            return self.value(plain, place, depth + 1)
        raise _invalid(f"{_named(place)} is a {type_name(value)}, which JSON cannot say")

    def _members(self, mapping: Any, place: Place, depth: int) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
        for key, item in mapping.items():
            if not issubclass(type(key), str):
                shown = repr_of(key, MAX_KEY_CHARACTERS)
                raise _invalid(f"{_named(place)} has the key {shown}; keys are strings in JSON")
            name = str.__str__(key)
            yield name, self.value(item, (place, name), depth + 1)


def _finite(number: float, place: Place) -> float:
    if not math.isfinite(number):
        raise _invalid(f"{_named(place)} is {number}, which JSON cannot say")
    return number


def _named(place: Place) -> str:
    """Return a place as Python would write it, e.g. `result[1]['a']`; a deep one without its beginning."""
    keys: list[str] = []
    while place is not None and sum(map(len, keys)) < MAX_PLACE_CHARACTERS:
        place, key = place
        keys.append(f"[{repr_of(key, MAX_KEY_CHARACTERS)}]")
    return bounded("result" + ("..." if place else "") + "".join(reversed(keys)), 2 * MAX_PLACE_CHARACTERS)


def _invalid(message: str) -> ResultRefused:
    return ResultRefused(ErrorCode.RESULT_INVALID, message)


def _too_deep() -> ResultRefused:
    return _invalid("The result is nested too deeply, or holds itself")
