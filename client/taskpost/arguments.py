"""Checks what a program gives to the client, before anything is sent."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_PLACE: Final = 200
"""More characters of the place of a fault, or of a wrong argument, are not shown."""

HIGHEST_PORT: Final = 65_535

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
    """Return the limit of a list; None means no limit.

    Raises:
        ValueError: it is negative, or not an integer.
    """
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 0):
        raise ValueError(f"limit is {_shown(limit)}: expected an integer from 0 on, or None for all")
    return limit and min(limit, sys.maxsize)


def checked_seconds(name: str, seconds: float | None) -> float | None:
    """Return a time to wait; None stands for no limit, and a negative number for no time.

    Raises:
        ValueError: it is not a number.
    """
    if seconds is None:
        return None
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or seconds != seconds:  # noqa: PLR0124 - NaN
        raise ValueError(f"{name} is {_shown(seconds)}: expected a number of seconds, or None for no limit")
    return max(min(seconds, sys.float_info.max), -sys.float_info.max)  # an int may be beyond them


def checked_tolerance(seconds: float) -> float:
    """Return how far a time may be from the present. NaN would make every time right.

    Raises:
        ValueError: it is not a number from 0 on.
    """
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not seconds >= 0:
        raise ValueError(f"tolerance_seconds is {_shown(seconds)}: expected a number of seconds from 0 on")
    return min(seconds, sys.float_info.max)


def checked_port(port: int) -> int:
    """Return the port to listen on.

    Raises:
        ValueError: it is not an integer from 0 to 65535.
    """
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= HIGHEST_PORT:
        raise ValueError(f"port is {_shown(port)}: expected an integer from 0 to {HIGHEST_PORT}")
    return port


def checked_text(name: str, text: str | None) -> str | None:
    """Return a text, or None if none is given.

    Raises:
        ValueError: it is something else.
    """
    if text is not None and not isinstance(text, str):
        raise ValueError(f"{name} is {_shown(text)}: expected a string")
    return text


def checked_id(task_id: str) -> str:
    """Return the id of a task.

    Raises:
        ValueError: it is not a string, but a task for example.
    """
    if not isinstance(task_id, str):
        message = f"task_id is {_shown(task_id)}: expected the id of a task, which is a string"
        raise ValueError(message)  # noqa: TRY004 - all wrong arguments are ValueErrors
    task_id.encode()  # raises UnicodeEncodeError, which is a ValueError, for an argument that was not UTF-8
    return task_id


def checked_ids(task_ids: Iterable[str]) -> list[str]:
    """Return the ids of tasks.

    Raises:
        ValueError: they are not strings, or are one string.
    """
    if isinstance(task_ids, str) or not isinstance(task_ids, Iterable):
        message = f"task_ids is {_shown(task_ids)}: expected the ids of tasks, for example in a list"
        raise ValueError(message)  # noqa: TRY004 - all wrong arguments are ValueErrors
    return [checked_id(task_id) for task_id in task_ids]


def checked_states(status: str | Iterable[str] | None) -> str | None:
    """Return the states that are asked for in the form of the query, each once.

    Raises:
        ValueError: they are not strings.
    """
    if status is None or isinstance(status, str):
        return status
    states = list(status) if isinstance(status, Iterable) else [status]
    if not all(isinstance(state, str) for state in states):
        raise ValueError(f"status is {_shown(status)}: expected a state, or several, which are strings")
    return ",".join(dict.fromkeys(states))


def checked_time(name: str, time: datetime | None) -> str | None:
    """Return a time as it is sent, or None if none is given.

    Raises:
        ValueError: it is something else.
    """
    if time is not None and not isinstance(time, datetime):
        raise ValueError(f"{name} is {_shown(time)}: expected a datetime with a time zone")
    return None if time is None else time.isoformat()


def _shown(value: object) -> str:
    try:
        return repr(value)[:LONGEST_PLACE]
    except Exception:  # noqa: BLE001 - whatever the object raises
        return f"a {type(value).__name__}"


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
