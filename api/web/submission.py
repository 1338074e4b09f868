"""From the bytes of a request to a valid task, or to all that is wrong with it. Pure."""

from __future__ import annotations

import gc
import hashlib
import json
import logging
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from api.core.task_types import why_unusable
from api.expected import allowed, expected
from api.nearest import nearest
from api.queue.shapes import Submission
from api.web.check_apart import CostlyInput
from api.web.faults import Fault, bounded, pointer, printable, shorten
from api.web.problems import Code, Problem
from api.web.representation import json_bytes
from api.web.result_url import refusal
from api.web.schema_faults import InputSchema, spelled_out_bytes
from api.web.schemas import TaskSubmission
from api.web.strict_json import InvalidJson, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_core import ErrorDetails

    from api.core.task_types import Definitions, TaskTypeDefinition
    from runner.delivery.guard import Policy

logger = logging.getLogger(__name__)

DIGEST_CHARACTERS: Final = 32
"""Of SHA-256, in hexadecimal: 128 bits tell bodies apart, and each is kept for a day."""
_EXACT: Final = 2**53
"""Below this every integer is a float."""
_FIELDS: Final = tuple(TaskSubmission.model_fields)
_HINT: Final = ' Send a JSON object, such as {"result_url": null, "task_type": "fibonacci"}.'
"""For who sends a form, or nothing: what a plain `curl -d` sends is read, so its content type does not give it away."""


class Intake:
    """Reads submissions by the task types' definitions. Their schemas are compiled when they change."""

    def __init__(self, definitions: Definitions, policy: Policy) -> None:
        self._definitions = definitions
        self._types: Mapping[str, TaskTypeDefinition] = {}
        self._schemas: dict[str, InputSchema] = {}
        self._policy = policy
        self._renew()

    def _renew(self) -> None:
        types = self._definitions()
        if types is not self._types:
            self._schemas = dict(_compiled(types))
            self._types = types

    def read(self, raw: bytes, idempotency_key: str | None, checked: tuple[Fault, ...] | None = None) -> Submission:
        """Return the task that a request's body describes. `checked`: what is wrong with its input, if that is known.

        Raises:
            Problem: 400 that names everything that is wrong.
            CostlyInput: if it may take long to check the input, unless it is checked.
        """
        self._renew()
        with _without_collection():
            return self._read(raw, idempotency_key, checked)

    def _read(self, raw: bytes, idempotency_key: str | None, checked: tuple[Fault, ...] | None) -> Submission:
        body = _parse(raw)
        if "task_input" not in body:
            body["task_input"] = self._default_input(body.get("task_type"))
        task_input = json_bytes(body["task_input"])
        envelope, faults = _read_envelope(body)
        listed = bounded(chain(faults, self._faults(body, task_input, checked)))
        if envelope is None or listed:
            raise Problem(400, Code.INVALID_REQUEST, "The task is not valid.", listed)
        return Submission(
            task_type=envelope.task_type,
            task_input=task_input.decode(),
            result_url=envelope.result_url,
            priority=envelope.priority,
            timeout_ms=round(self._timeout_seconds(envelope) * 1000),
            idempotency_key=idempotency_key,
            digest="" if idempotency_key is None else _digest(raw),
        )

    def _default_input(self, name: Any) -> Any:  # noqa: ANN401 - any JSON value
        schema = self._schemas.get(name) if isinstance(name, str) else None
        return {} if schema is None else schema.default()

    def _faults(self, body: Mapping[str, Any], task_input: bytes, checked: tuple[Fault, ...] | None) -> Iterator[Fault]:
        """Find what the model of the envelope cannot: it knows neither the types nor where callbacks may go."""
        url, name = body.get("result_url"), body.get("task_type")
        if isinstance(url, str) and (why := refusal(url, self._policy)):
            yield Fault("/result_url", why)
        if not isinstance(name, str):
            return
        definition, schema = self._types.get(name), self._schemas.get(name)
        if definition is None or schema is None:
            yield Fault("/task_type", _why_no_type(self._types, name))
            return
        seconds = body.get("timeout_seconds")
        if isinstance(seconds, int | float) and seconds > definition.max_timeout_seconds:
            yield Fault("/timeout_seconds", f"{name} may run for {definition.max_timeout_seconds:g} seconds at most")
        if checked is not None:
            yield from checked
        elif schema.cost.is_high(task_input):
            raise CostlyInput(schema.document, task_input)
        else:
            yield from schema.faults(body["task_input"], spelled_out_bytes(task_input))

    def _timeout_seconds(self, envelope: TaskSubmission) -> float:
        if envelope.timeout_seconds:
            return envelope.timeout_seconds
        definition = self._types[envelope.task_type]
        return min(definition.default_timeout_seconds(envelope.task_input), definition.max_timeout_seconds)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Keep the garbage collector from looking at what is being made: JSON has no cycles, and many containers.

    For a body of `[[],[],...]` it would look at all of them again and again, which is most of the time.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        body = parse(raw)
    except InvalidJson as error:
        hint = "" if raw.lstrip().startswith(b"{") else _HINT
        raise Problem(400, Code.INVALID_JSON, error.detail + hint, error.faults) from None
    if not isinstance(body, dict):
        raise Problem(400, Code.INVALID_REQUEST, "The body is not a JSON object.", (Fault("", "Expected an object"),))
    return body


def _read_envelope(body: dict[str, Any]) -> tuple[TaskSubmission | None, Iterator[Fault]]:
    """Read all but the input by the model; unknown members are left to the faults, for there may be very many."""
    unknown = (
        Fault(pointer(name), f"Unknown member; allowed: {', '.join(_FIELDS)}") for name in body if name not in _FIELDS
    )
    try:
        return TaskSubmission.model_validate({name: body[name] for name in _FIELDS if name in body}), unknown
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        wrong = [Fault(pointer(*detail["loc"]), _say(detail)) for detail in details]
        return None, chain(wrong, unknown)


def _say(error: ErrorDetails) -> str:
    if error["type"] == "missing":
        return "The member is required"
    values = allowed(TaskSubmission.model_fields[str(error["loc"][0])])
    return f"Expected {values}" if values else expected(error)


def _compiled(types: Mapping[str, TaskTypeDefinition]) -> Iterator[tuple[str, InputSchema]]:
    """Yield the compiled schema of each type. One that cannot be compiled takes no tasks, and stops no other."""
    for name, definition in types.items():
        try:
            yield name, InputSchema(definition.input_schema)
        except Exception as error:  # noqa: BLE001 - it was checked before: nothing is known of what is wrong with it
            logger.error("task_type_faulty", extra={"reason": f"{name}: {error!r}"})  # noqa: TRY400 - a line is enough


def _why_no_type(types: Mapping[str, TaskTypeDefinition], name: str) -> str:
    if name in types:
        return "The input_schema of this task type cannot be used; the log of the service says why"
    if why := why_unusable(types, shorten(printable(name))):
        return why
    near = nearest(name, types)
    meant = f" Did you mean {near}?" if near else ""
    return (
        f"Task type {shorten(printable(name))!r} does not exist.{meant} The task types are {', '.join(sorted(types))}"
    )


def _digest(raw: bytes) -> str:
    """Return what two bodies have in common that mean the same: white space, the order of members, `1.0` and `1` aside.

    `raw` is strict JSON. It is read once more, with numbers of one form: to turn the values that there are already into
    others takes three times as long.
    """
    canonical = json.dumps(_CANONICAL.decode(raw.decode()), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:DIGEST_CHARACTERS]


def _canonical_float(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < _EXACT else value


def _canonical_integer(text: str) -> int | float:
    """Large ones become floats, where that is exact: the integer that `1e308` stands for has 309 digits."""
    value = int(text)
    if abs(value) < _EXACT:
        return value
    try:
        near = float(value)
    except OverflowError:
        return value
    return near if near == value else value


_CANONICAL: Final = json.JSONDecoder(parse_float=_canonical_float, parse_int=_canonical_integer)
