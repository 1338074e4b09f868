"""The form of one entry in the file of task types. Reports every fault, and still reads the valid members."""

from __future__ import annotations

import copy
import shlex
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.executors.kubernetes.pods import TypePod
from api.expected import expected
from api.nearest import suggestion
from api.settings import LONGEST_SECONDS
from api.strict_yaml import Fault
from api.text import visible
from runner.tasks.registry import MIN_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from api.strict_yaml import Path

MAX_CONCURRENCY: Final = 1_000_000
MAX_SHOWN_CHARACTERS: Final = 500
MOST_SUGGESTIONS: Final = 50
"""For how many unknown members of an entry the right name is looked for: more of them are not shown."""
STAND_INS: Final[dict[str, Any]] = {"string_type": "crashed", "dict_type": {}}
"""Replacements for invalid list items, by pydantic's error type: the other items keep their indexes and are checked.
Errors in a replacement are not reported.
"""

RunTime = Annotated[float, Field(ge=MIN_TIMEOUT_SECONDS, le=LONGEST_SECONDS)]


class TypeEntry(BaseModel):
    """One task type in the file. Members that it leaves out of an existing type stay as they are."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    enabled: bool = True
    description: str | None = None
    python: str | None = None
    image: Annotated[str, Field(min_length=1)] | None = None
    command: Annotated[list[str], Field(min_length=1)] | None = None
    input_schema: dict[str, Any] | None = None
    example: dict[str, Any] | None = None
    concurrency: Annotated[int, Field(ge=1, le=MAX_CONCURRENCY)] | None = None
    retries: Annotated[int, Field(ge=0, le=100)] = 0
    retry_on: list[str] = Field(default_factory=list)
    retry_pause_seconds: Annotated[float, Field(ge=0, le=3600)] = 10.0
    timeout_seconds: RunTime | None = None
    max_timeout_seconds: RunTime | None = None
    env: dict[str, str] = Field(default_factory=dict)
    pod: TypePod = Field(default_factory=TypePod)
    egress: list[dict[str, Any]] = Field(default_factory=list)
    """Where a container may connect to: for the chart, which makes a NetworkPolicy of it."""


MEMBERS: Final = frozenset(TypeEntry.model_fields)
POD_MEMBERS: Final = frozenset(field.alias or name for name, field in TypePod.model_fields.items())


def read_entry(path: Path, given: object) -> tuple[TypeEntry, list[Fault]]:
    """Return the valid part of an entry, and the faults in the rest."""
    if not isinstance(given, dict):
        return TypeEntry(), [Fault(path, "a task type is a map of members, such as `python` or `image`")]
    faults: list[Fault] = []
    rest = given
    # What refers to a part that was left out can be at fault a second time, so this is done until nothing is left out.
    for _ in range(len(given) + 1):
        try:
            return TypeEntry.model_validate(rest), faults
        except ValidationError as error:
            found = error.errors(include_url=False)
            faults += [_fault(path, one, with_hint=number < MOST_SUGGESTIONS) for number, one in enumerate(found)]
            rest = copy.deepcopy(rest)
            for one in found:
                _leave_out(rest, one["loc"], one["type"])
    return TypeEntry(), faults


def _leave_out(given: dict[str, Any], place: tuple[str | int, ...], kind: str) -> None:
    """Remove a faulty member; of a map or list only that member or item, so that the others are still checked."""
    first, rest = place[0], place[1:]
    inner = given.get(str(first))
    if rest and isinstance(inner, dict) and rest[0] in inner:
        _leave_out(inner, rest, kind)
    elif len(rest) == 1 and isinstance(inner, list) and isinstance(rest[0], int) and kind in STAND_INS:
        inner[rest[0]] = STAND_INS[kind]
    else:
        given.pop(str(first), None)


def _fault(path: Path, error: ErrorDetails, *, with_hint: bool) -> Fault:
    place, kind, given = error["loc"], error["type"], error["input"]
    where = (*path, *place)
    if kind == "extra_forbidden":
        hint = f"; {_right_place(place)}" if with_hint else ""
        return Fault(where, f"unknown member{hint}")
    if place == ("command",) and isinstance(given, str):
        return Fault(where, f"expected a list; {_as_list(given)}")
    if kind == "string_type":
        return Fault(where, f"expected text, not {_shown(given)}: write it in quotes")
    shown = "" if isinstance(given, dict | list) and given else f", not {_shown(given)}"
    return Fault(where, f"{visible(expected(error).replace('Expected', 'expected', 1))}{shown}")


def _right_place(place: tuple[str | int, ...]) -> str:
    """Return what to write for a member that does not exist here: it may be one of the pod, or one of the type."""
    name, in_pod = str(place[-1]), place[0] == "pod" and len(place) > 1
    if name in (MEMBERS if in_pod else POD_MEMBERS):
        return "it belongs to the type, not to its `pod`" if in_pod else "write it under `pod`"
    return suggestion(name, POD_MEMBERS if in_pod else MEMBERS)


def _as_list(command: str) -> str:
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    return visible(f"did you mean [{', '.join(words)}]?")[:MAX_SHOWN_CHARACTERS]


def _shown(given: object) -> str:
    return visible(repr(given) if isinstance(given, str) else str(given))[:100]
