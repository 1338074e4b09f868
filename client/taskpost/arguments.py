"""Checks what a program gives to the client, before anything is sent."""

from __future__ import annotations

import json
import math
import re
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_PLACE: Final = 200
"""More characters of the place of a fault are not shown."""

_KEY: Final = re.compile("[!-~]{1,255}")


def json_body(members: Mapping[str, Any]) -> bytes:
    """Return the body of a request.

    Raises:
        ValueError: part of it is not JSON; the message has its place as a JSON pointer.
    """
    try:
        return json.dumps(members, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        place = _place_of_fault(members)
        where = f" at {place[:LONGEST_PLACE]}" if place else ""
        raise ValueError(f"What is to be sent is not JSON{where}: {error}") from error


def checked_key(key: str) -> str:
    """Return an idempotency key.

    Raises:
        ValueError: it has another form.
    """
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise ValueError("An idempotency key is 1 to 255 visible ASCII characters")
    return key


def checked_limit(limit: int | None) -> int | None:
    """Return how many entries of a list are wanted; None stands for all.

    Raises:
        ValueError: it is negative, or not an integer.
    """
    if limit is not None and (not isinstance(limit, int) or limit < 0):
        raise ValueError(f"limit is {limit!r}: expected an integer from 0 on, or None for all")
    return limit and min(limit, sys.maxsize)


def checked_seconds(name: str, seconds: float | None) -> float | None:
    """Return a time to wait; None stands for no limit, and a negative number for no time.

    Raises:
        ValueError: it is not a number.
    """
    if seconds is not None and (not isinstance(seconds, (int, float)) or math.isnan(seconds)):
        raise ValueError(f"{name} is {seconds!r}: expected a number of seconds, or None for no limit")
    return seconds


def _place_of_fault(members: Mapping[str, Any]) -> str | None:
    """Return the JSON pointer, or its beginning, of the first part that is not JSON; None if there is none.

    Each container is read once: one may be in many places, or contain itself.
    """
    parts: list[tuple[str, Any]] = [("", members)]
    seen: set[int] = set()
    while parts:
        place, value = parts.pop()
        below = _below(value)
        if below is None and not _is_json_scalar(value):
            return place
        if below and id(value) not in seen:
            seen.add(id(value))
            longer = len(place) <= LONGEST_PLACE
            parts.extend((f"{place}/{name}" if longer else place, member) for name, member in reversed(below))
    return None


def _below(value: object) -> list[tuple[str, Any]] | None:
    if isinstance(value, dict) and all(key is None or isinstance(key, (str, int, float)) for key in value):
        return [(str(key).replace("~", "~0").replace("/", "~1"), member) for key, member in value.items()]
    return [(str(index), member) for index, member in enumerate(value)] if isinstance(value, (list, tuple)) else None


def _is_json_scalar(value: object) -> bool:
    return value is None or isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value))
