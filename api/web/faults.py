"""What is wrong in a request, one thing at a time: where (a JSON pointer, RFC 6901), and what."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_FAULTS: Final = 50
"""More are not listed: nobody reads them, and an answer must not grow with what was sent."""
MAX_TEXT_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong."""

    pointer: str
    detail: str


def pointer(*steps: str | int) -> str:
    """Return the JSON pointer of these steps from the root."""
    return "".join("/" + printable(str(step)).replace("~", "~0").replace("/", "~1") for step in steps)


def printable(text: str) -> str:
    """Write lone surrogates as escapes, since no answer in UTF-8 can hold them."""
    return text.encode("utf-8", "backslashreplace").decode()


def shorten(text: str) -> str:
    """Cut out the middle of a long text; both the value's begin and what is wrong with it stay readable."""
    if len(text) <= MAX_TEXT_CHARACTERS:
        return text
    tail = MAX_TEXT_CHARACTERS * 2 // 3
    return f"{text[: MAX_TEXT_CHARACTERS - tail - 1]}…{text[-tail:]}"


def bounded(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """Return the first faults, with short pointers. Whoever quotes what was sent in a detail shortens that."""
    return tuple(Fault(shorten(fault.pointer), fault.detail) for fault in islice(faults, MAX_FAULTS))
