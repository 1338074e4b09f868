"""Text about objects of a task, in a bounded length, whatever the methods of those objects do.

`str()`, `repr()` and `isinstance()` run code of the object's class, which may raise, lie or return something odd. So
types are compared by `type()`, names are read from the type itself, and every call into the object is guarded.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Final

from runner.contract import RUNNER_SAYS

MAX_NAME_CHARACTERS: Final = 200
_NAME_OF_TYPE: Final = type.__dict__["__name__"]


def type_name(value: object) -> str:
    """Return the name of a value's class. A metaclass with a `__name__` of its own is not asked."""
    return bounded(_NAME_OF_TYPE.__get__(type(value)), MAX_NAME_CHARACTERS)


def bounded(text: str, max_characters: int) -> str:
    """Return the beginning of a text as plain `str` that UTF-8 can hold; lone surrogates become escapes."""
    start = str.__getitem__(text, slice(0, max_characters))
    return start.encode("utf-8", "backslashreplace").decode()[:max_characters]


def text_of(value: object, max_characters: int) -> str:
    """Return `str(value)`, cut to a length, or a note in parentheses why there is none."""
    try:
        return bounded(str(value), max_characters)
    except BaseException as error:  # noqa: BLE001 - whatever the object raises
        return f"(no text: its __str__ raised {type_name(error)})"


def repr_of(value: object, max_characters: int) -> str:
    """Return `repr(value)`, cut to a length, or a note in parentheses why there is none."""
    try:
        if type(value) is str:  # the repr of a long one is not made
            value = value[:max_characters]
        return bounded(repr(value), max_characters)
    except BaseException as error:  # noqa: BLE001 - whatever the object raises
        return f"({type_name(value)} whose __repr__ raised {type_name(error)})"


def error_text(error: BaseException, max_characters: int, place: str = "") -> str:
    """Return how an exception is reported: the name of its class, its message if it has one, and its place."""
    where = f" ({place})" if place else ""
    message = text_of(error, max(0, max_characters - len(where)))
    named = f"{type_name(error)}: {message}" if message else type_name(error)
    return named[: max(0, max_characters - len(where))] + where


def say(message: str) -> None:
    """Write a line to the log, if there is one: it may be closed, or its disk full, and the work goes on."""
    with suppress(Exception):
        sys.stderr.write(f"{RUNNER_SAYS}{message}\n")
        sys.stderr.flush()
