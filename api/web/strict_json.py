"""JSON as RFC 8259 means it: what two parsers could understand in two ways is refused. Pure.

Refused beside syntax errors: anything but UTF-8, a byte order mark, NaN and infinities (also `1e400`), integers of
more than 4300 digits (which Python cannot turn into text again), a name given twice in one object, lone surrogates,
and more than 100 levels below the root.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections import Counter
from contextlib import suppress
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from api.web.faults import Fault, bounded, pointer
from runner.contract import MAX_JSON_DEPTH

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_INTEGER_DIGITS: Final = 4300

# Possessive, and with an optional end, so that no text makes it try twice.
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_STEP: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_SURROGATE_ESCAPE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


class InvalidJson(ValueError):  # noqa: N818 - what the text is
    """The text is not strict JSON: `detail` says why in one sentence, `faults` where, as far as that is known."""

    def __init__(self, detail: str, faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.faults = faults


class _Suspicious(Exception):  # noqa: N818 - ends the fast pass only
    pass


class _Wrong(str):
    """Stands for a value that is refused, and says why."""

    __slots__ = ()


class _Repeating(dict[str, Any]):
    """An object in which names are given more than once."""

    repeated: list[str]


def parse(raw: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of a JSON text.

    Raises:
        InvalidJson: if it is none.
    """
    text = _text_of(raw)
    if _depth(raw) > MAX_JSON_DEPTH + 1:
        raise InvalidJson(f"The body is nested more than {MAX_JSON_DEPTH} levels deep below its root.")
    try:
        return _decode(text)
    except json.JSONDecodeError as error:
        if not text.strip():
            raise InvalidJson("The body is empty.") from None
        detail = f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        raise InvalidJson(detail) from None


def _text_of(raw: bytes) -> str:
    if raw.startswith(codecs.BOM_UTF8):
        raise InvalidJson("The body begins with a byte order mark; JSON has none.")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidJson(f"The body is not UTF-8: see byte {error.start}.") from None


def _decode(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Parse fast; only a text that looks wrong is parsed once more, to find where it is."""
    value: Any = None
    with suppress(_Suspicious):
        value = _FAST.decode(text)
        if not _SURROGATE_ESCAPE.search(text):
            return value
    faults = bounded(_walk(_MARKING.decode(text), ()))
    if faults:
        raise InvalidJson("The body is not strict JSON; `errors` says where.", faults)
    return value


def _depth(raw: bytes) -> int:
    """Return how deep a parser would go at most. No recursion: how much of that there may be depends on the Python."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_JSON_DEPTH:
        return 0
    brackets = _STRING.sub(b"", raw).translate(None, _NO_BRACKETS)
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0)


def _integer(text: str) -> int:
    if len(text) > MAX_INTEGER_DIGITS and len(text.removeprefix("-")) > MAX_INTEGER_DIGITS:
        raise _Suspicious
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _Suspicious
    return value


def _constant(_name: str) -> float:
    raise _Suspicious


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Suspicious
    return members


_FAST: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
)


def _marked_integer(text: str) -> int | _Wrong:
    try:
        return _integer(text)
    except _Suspicious:
        return _Wrong(f"An integer has at most {MAX_INTEGER_DIGITS} digits")


def _marked_float(text: str) -> float | _Wrong:
    try:
        return _float(text)
    except _Suspicious:
        return _Wrong("The number is too large for a double")


def _marked_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = _Repeating(pairs)
    members.repeated = [name for name, times in Counter(name for name, _ in pairs).items() if times > 1]
    return members


_MARKING: Final = json.JSONDecoder(
    object_pairs_hook=_marked_object,
    parse_int=_marked_integer,
    parse_float=_marked_float,
    parse_constant=lambda name: _Wrong(f"{name} is not JSON"),
)


def _walk(value: Any, path: tuple[str | int, ...]) -> Iterator[Fault]:  # noqa: ANN401 - any JSON value
    if isinstance(value, _Wrong):
        yield Fault(pointer(*path), str(value))
    elif isinstance(value, str):
        if _SURROGATE.search(value):
            yield Fault(pointer(*path), "The text has a lone surrogate")
    elif isinstance(value, _Repeating):
        for name in value.repeated:
            yield Fault(pointer(*path, name), "The name is given more than once")
        for name, member in value.items():
            if _SURROGATE.search(name):
                yield Fault(pointer(*path, name), "The name has a lone surrogate")
            yield from _walk(member, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, (*path, index))
