"""Describes what is wrong with an input, at a bounded cost.

`is_valid` decides; where that may take long, this runs in another process (see `check_apart`). The description has a
budget: errors are listed by outlines (see `schema_outline`), which never branch, of inputs that are small for them; of
larger ones only the first is sought.
"""

from __future__ import annotations

import json
import re
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from jsonschema_rs import Registry, ValidationError, Validator
from jsonschema_rs import ValidationErrorKind as Kind

from api.core.input_schema import compile_schema
from api.web.check_cost import cost_of
from api.web.faults import MAX_FAULTS, Fault, pointer, printable, shorten
from api.web.representation import json_bytes
from api.web.schema_outline import outline, target, uri_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Json = Any
Path = tuple[str | int, ...]

MAX_LISTED: Final = 200_000
"""Bytes of the input times the weight of the outline. Above it only the first error is named: the library makes all of
them before it gives the first, and each takes microseconds."""
BUDGET_SECONDS: Final = 0.1
"""CPU time after which no further outline is begun. One takes as long as the decision did, mostly milliseconds."""
MAX_SEARCHED_BYTES: Final = 4 * 1024 * 1024
"""Above this no error is made at all: the library writes out the value that it is about, several times."""
MAX_OUTLINES: Final = 100
"""Kept compiled, for each schema."""
ROOT: Final = "task_input"
NO_SUCH_MEMBER: Final = "Unknown member"
_EXPONENT: Final = re.compile(rb"[0-9]e[+-]")
_LONGEST_FLOAT_BYTES: Final = 330


def spelled_out_bytes(text: bytes) -> int:
    """Return how long a JSON text is at most as the library writes it: it spells `1e+308` out, with 309 digits."""
    exponents = len(_EXPONENT.findall(text)) if b"e+" in text or b"e-" in text else 0
    return len(text) + _LONGEST_FLOAT_BYTES * exponents


class InputSchema:
    """The compiled schema of a task type.

    Raises:
        InputSchemaError: if it cannot be used.
    """

    def __init__(self, schema: Mapping[str, Json]) -> None:
        self._schema = dict(schema)
        self._validator = compile_schema(self._schema)
        self.cost = cost_of(self._schema)
        self._default = json_bytes(self._schema.get("default", {}))
        self._outlines: dict[str, tuple[Validator, int]] = {}

    @property
    def document(self) -> Mapping[str, Json]:
        """The schema as it was given."""
        return self._schema

    def default(self) -> Json:
        """Return a copy of the input of a task that is submitted without one: the schema's `default`, else `{}`."""
        return json.loads(self._default)

    def faults(self, task_input: Json, size_bytes: int) -> list[Fault]:
        """Return what is wrong with an input; nothing if it is valid. At most `MAX_FAULTS`, as an answer holds.

        `size_bytes` is how long the input is, spelled out.
        """
        begin = time.thread_time()
        if self._validator.is_valid(task_input):
            return []
        is_cheap = time.thread_time() - begin <= BUDGET_SECONDS and size_bytes <= MAX_SEARCHED_BYTES
        found = _Search(self, task_input, size_bytes).run() if is_cheap else []
        return found or [Fault(pointer(ROOT), "The input does not match the input_schema of its task type")]

    def outline(self, at: str) -> tuple[Validator, int]:
        """Return the compiled outline of a part of the schema, and its weight."""
        if at not in self._outlines:
            if len(self._outlines) >= MAX_OUTLINES:
                self._outlines.clear()
            made = outline(self._schema, at)
            registry = Registry([(uri_of(self._schema), self._schema)])
            self._outlines[at] = compile_schema(made.schema, registry), made.weight
        return self._outlines[at]


class _Search:
    """One description: places in the schema and in the input that are still to be looked at, each pair once."""

    def __init__(self, schema: InputSchema, task_input: Json, size_bytes: int) -> None:
        self._schema = schema
        self._input = task_input
        self._size_bytes = size_bytes
        self._faults: dict[Fault, None] = {}
        self._vague: dict[Fault, None] = {}
        """Errors used only if there are no better ones: a part of the schema that cannot be split further."""
        self._open: deque[tuple[str, Path]] = deque([("", ())])
        self._seen: set[tuple[str, Path]] = {("", ())}

    def run(self) -> list[Fault]:
        """Return the errors found until everything is checked or the budget is spent. At least one check is made."""
        end = time.thread_time() + BUDGET_SECONDS
        while self._open and len(self._faults) < MAX_FAULTS:
            at, path = self._open.popleft()
            for error in self._errors(at, _part(self._input, path)):
                self._take(error, path)
                if len(self._faults) >= MAX_FAULTS:
                    break
            if time.thread_time() > end:
                break
        return list(self._faults or self._vague)[:MAX_FAULTS]

    def _errors(self, at: str, part: Json) -> Iterator[ValidationError]:
        validator, weight = self._schema.outline(at)
        if self._size_bytes * weight <= MAX_LISTED:
            yield from validator.iter_errors(part)
            return
        try:
            validator.validate(part)
        except ValidationError as error:
            yield error

    def _take(self, error: ValidationError, path: Path) -> None:
        where = (*path, *error.instance_path)
        decided = _decision(error)
        if decided is None:
            self._faults |= dict.fromkeys(_translate(error, where))
        elif "$ref" in decided:
            next_ = (target(decided["$ref"]), where)
            if next_ not in self._seen:
                self._seen.add(next_)
                self._open.append(next_)
            fault = Fault(pointer(ROOT, *where), _say(_part(self._input, where), "does not match its schema"))
            self._vague.setdefault(fault)
        else:
            self._faults |= dict.fromkeys([self._branch_fault(decided, where)])

    def _branch_fault(self, decided: dict[str, Json], where: Path) -> Fault:
        """Return the error of a decision. For `oneOf`, the outline has a decision as for `anyOf` before its own."""
        [(decision, branches)] = decided.items()
        keyword = str(branches[0]["$ref"]).rsplit("/", 2)[-2] if branches else decision
        value = _part(self._input, where)
        listed = f"of the schemas listed in the '{keyword}' keyword"
        none = Fault(pointer(ROOT, *where), _say(value, f"is not valid under any {listed}"))
        if decision == "anyOf" or none in self._faults:
            return none
        return Fault(pointer(ROOT, *where), _say(value, f"is valid under more than one {listed}"))


def _decision(error: ValidationError) -> dict[str, Json] | None:
    """Return what an outline only decided, None if the error is one of the schema's own."""
    kind: Json = error.kind
    schema: Json = kind.schema if isinstance(kind, Kind.Not) else None
    decided: dict[str, Json] | None = schema.get("not") if isinstance(schema, dict) else None
    return decided


def _translate(error: ValidationError, where: Path) -> Iterator[Fault]:
    path = (ROOT, *where)
    kind: Json = error.kind
    match kind:
        case Kind.Required(property=name):
            yield Fault(pointer(*path, name), "The member is required")
        case Kind.AdditionalProperties(unexpected=names) | Kind.UnevaluatedProperties(unexpected=names):
            for name in names[:MAX_FAULTS]:
                yield Fault(pointer(*path, name), NO_SUCH_MEMBER)
        case Kind.FalseSchema():
            yield Fault(pointer(*path), "Nothing may be given here")
        case Kind.Not():
            yield Fault(pointer(*path), _say(error.instance, "matches what the schema excludes by 'not'"))
        case _:
            yield Fault(pointer(*path), shorten(printable(error.message)))


def _say(value: Json, what: str) -> str:
    return shorten(f"{json_bytes(value).decode()} {what}")


def _part(value: Json, path: Path) -> Json:
    for step in path:
        value = value[step]
    return value
