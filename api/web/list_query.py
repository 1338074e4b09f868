"""The query of the list of tasks. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from api.web.faults import Fault, bounded, pointer, printable, shorten
from api.web.problems import Code, Problem
from runner.contract import State

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
PARAMETERS: Final = ("status", "task_type", "limit", "cursor")

_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
LIMIT: Final = re.compile(r"0*([1-9][0-9]{0,3})")
_ALL_STATES: Final = tuple(State)
_STATE_NAMES: Final = frozenset(state.value for state in State)


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What part of the list is wanted."""

    states: tuple[State, ...] = _ALL_STATES
    task_type: str | None = None
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None

    def link_to(self, cursor: str) -> str:
        """Return the `Link` header's value for the page at `cursor`: relative, so that it holds behind any prefix."""
        kept: dict[str, str | int] = {}
        if self.states != _ALL_STATES:
            kept["status"] = ",".join(self.states)
        if self.task_type is not None:
            kept["task_type"] = self.task_type
        return f'<?{urlencode({**kept, "limit": self.limit, "cursor": cursor}, safe=",")}>; rel="next"'


def is_task_id(text: str) -> bool:
    """Whether a task could have this id."""
    return _ID.fullmatch(text) is not None


def read_query(parameters: Sequence[tuple[str, str]]) -> ListQuery:
    """Read the query's parameters.

    Raises:
        Problem: 400 that names every parameter that is wrong.
    """
    given, faults = single_values(parameters, PARAMETERS, repeated=("status",))
    states = given["status"].split(",") if "status" in given else []
    task_type, limit, cursor = (given.get(name) for name in PARAMETERS[1:])
    faults += [
        _fault("status", f"{shorten(state)!r} is not a state; allowed: {', '.join(State)}")
        for state in states
        if state not in _STATE_NAMES
    ]
    if task_type == "":
        faults.append(_fault("task_type", "is empty"))
    if limit is not None and not (LIMIT.fullmatch(limit) and int(limit) <= MAX_LIMIT):
        faults.append(_fault("limit", f"is not an integer from 1 to {MAX_LIMIT}"))
    if cursor is not None and not is_task_id(cursor):
        faults.append(_fault("cursor", "is not a cursor that this service gave out"))
    if faults:
        raise Problem(400, Code.INVALID_QUERY, "The query is not valid.", bounded(faults))
    wanted = tuple(state for state in State if state in states) or _ALL_STATES
    return ListQuery(wanted, task_type, DEFAULT_LIMIT if limit is None else int(limit), cursor)


def single_values(
    parameters: Sequence[tuple[str, str]], known: Sequence[str], repeated: Sequence[str] = ()
) -> tuple[dict[str, str], list[Fault]]:
    """Return the parameters by name, and what is wrong with their names; those `repeated` are joined by commas."""
    given: dict[str, list[str]] = {}
    for name, value in parameters:
        given.setdefault(name, []).append(value)
    faults = [
        *(
            _fault(name, f"is not a parameter of this list; allowed: {', '.join(known)}")
            for name in given
            if name not in known
        ),
        *(
            _fault(name, "is given more than once")
            for name in known
            if name not in repeated and len(given.get(name, ())) > 1
        ),
    ]
    return {name: ",".join(values) if name in repeated else values[0] for name, values in given.items()}, faults


def _fault(name: str, detail: str) -> Fault:
    return Fault(pointer(name), printable(detail))
