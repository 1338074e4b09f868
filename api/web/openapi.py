"""OpenAPI 3.1: the words that operations and the webhook are described with, and the application that has the whole."""

from __future__ import annotations

from importlib.metadata import version
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from api.web import examples, problems, schemas
from api.web.faults import Fault
from api.web.problems import Code

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum

    from pydantic import BaseModel

VERSION: Final = version("taskpost-service")
DESCRIPTION: Final = """\
POST a task, get its signed result back by POST.

* Every answer but a success is a problem (RFC 9457, `application/problem+json`) with a stable `code`; invalid input is
  400 with `errors`, each with a JSON pointer into the body, or to the name of the query parameter.
* Request bodies are JSON in UTF-8 of at most 1 MiB, nested at most 100 levels below the root. NaN, infinities, integers
  of more than 4300 digits, lone surrogates and names given twice in one object are refused. An input of more than
  16 KiB that does not fit its schema is answered with the first error in it.
* Times are RFC 3339 in UTC. HEAD works where GET does. A path with a trailing slash does not exist, but `/docs/`
  redirects to `/docs`.
* There is no authentication: whoever reaches the service may use all of it. Put a proxy before it that authenticates.
  A change that a page of another site makes a browser send is refused (403). Callbacks are signed, see the webhook.
"""
LICENSE: Final[dict[str, Any]] = {"name": "Apache License 2.0", "identifier": "Apache-2.0"}

_EXAMPLES: Final[dict[Code, tuple[int, str, str]]] = {
    Code.INVALID_JSON: (
        400,
        "The body is not strict JSON.",
        "The body is not JSON: Expecting value at line 1, column 1.",
    ),
    Code.INVALID_REQUEST: (400, "The task is not valid: everything that is wrong is named.", "The task is not valid."),
    Code.INVALID_IDEMPOTENCY_KEY: (
        400,
        "The Idempotency-Key is not valid.",
        "The header Idempotency-Key must have 1 to 255 visible ASCII characters.",
    ),
    Code.INVALID_QUERY: (400, "A parameter is wrong or unknown.", "The query is not valid."),
    Code.TASK_NOT_FOUND: (404, "The task does not exist.", f"Task {schemas.EXAMPLE_ID} does not exist."),
    Code.IDEMPOTENCY_CONFLICT: (
        409,
        "The Idempotency-Key was used for another body.",
        f"This Idempotency-Key was used with another body, for task {schemas.EXAMPLE_ID}.",
    ),
    Code.TASK_ENDED: (409, "The task is done or has failed.", "The task is done already and cannot be cancelled."),
    Code.NOT_ENDED: (409, "The task has not ended yet.", "The task is running; read its result when it has ended."),
    Code.NO_CALLBACK: (
        409,
        "The task has no callback.",
        "The task has no result_url; read its outcome by GET.",
    ),
    Code.TASK_EXPIRED: (
        410,
        "The task of this Idempotency-Key was taken by retention.",
        f"This Idempotency-Key was used for task {schemas.EXAMPLE_ID}, which is no longer kept.",
    ),
    Code.ALREADY_DELIVERED: (
        409,
        "The callback is delivered.",
        "The callback is delivered: nothing is left to give up.",
    ),
    Code.RESULT_DROPPED: (
        410,
        "Too much waited for delivery, and this result was dropped.",
        "The result is gone: more than 33554432 bytes waited for example.com: this was the oldest, and was dropped.",
    ),
    Code.RESULT_GONE: (410, "The result is no longer kept: its retention is over.", "The result is no longer kept."),
    Code.BODY_TOO_LARGE: (
        413,
        "The body is larger than 1 MiB.",
        "The body has more than 1048576 bytes, which is the limit.",
    ),
    Code.UNSUPPORTED_MEDIA_TYPE: (
        415,
        "The Content-Type is not JSON; `Accept-Post` names the one to send. Browsers must send it.",
        "The Content-Type is 'text/plain'. Send the header `Content-Type: application/json`.",
    ),
    Code.QUEUE_FULL: (
        429,
        "The queue is full; see `Retry-After`.",
        "10000 tasks wait already; the queue takes no more for now.",
    ),
    Code.UNDELIVERED_FULL: (
        429,
        "Too many bytes of results wait for this receiver, or for all of them; see `Retry-After`.",
        "33554432 bytes of results wait for example.com already.",
    ),
    Code.IDEMPOTENCY_FULL: (
        429,
        "No further Idempotency-Key can be remembered; see `Retry-After`.",
        "250000 Idempotency-Keys are remembered already.",
    ),
    Code.UNAVAILABLE: (503, "Redis is away, read-only or full; see `Retry-After`.", "Redis does not answer."),
    Code.NOT_READY: (503, "The service cannot do its work now.", "Redis does not answer."),
}
_FAULTS: Final = {
    Code.INVALID_REQUEST: (Fault("/task_input/n", '"10" is not of type "integer"'),),
    Code.INVALID_QUERY: (Fault("/limit", "is not an integer from 1 to 1000"),),
}
_RETRIED: Final = (429, 503)


class Application(FastAPI):
    """FastAPI with the components that the routes refer to, and the webhooks."""

    described_webhooks: Mapping[str, Any] = MappingProxyType({})

    def openapi(self) -> dict[str, Any]:
        """Return the document; it is made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            document["security"] = []
            document["webhooks"] = dict(self.described_webhooks)
            components = document.setdefault("components", {})
            _, definitions = models_json_schema(
                [(model, "validation") for model in schemas.ALL], ref_template="#/components/schemas/{model}"
            )
            components["schemas"] = {name: _without_defaults(found) for name, found in definitions["$defs"].items()}
            # Apart from the operations, because FastAPI takes every null out of those.
            components["examples"] = {name: {"value": value} for name, value in {**examples.ALL, **_problems()}.items()}
        return self.openapi_schema or {}


def _without_defaults(schema: dict[str, Any]) -> dict[str, Any]:
    """Generators, openapi-typescript for one, have a member that has a default always be sent; descriptions have it."""
    for member in schema.get("properties", {}).values():
        member.pop("default", None)
    return schema


def schema_of(model: type[BaseModel | StrEnum]) -> dict[str, str]:
    """Return a reference to the schema of a model, or of an enumeration that models use."""
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def examples_of(*names: str) -> dict[str, dict[str, str]]:
    """Return the examples of something, by their names in `examples.py`."""
    return {name: {"$ref": f"#/components/examples/{name}"} for name in names}


def header(description: str, kind: str = "string") -> dict[str, Any]:
    """Describe a header of an answer; `kind` is its JSON type."""
    return {"description": description, "schema": {"type": kind}}


def answer(
    description: str,
    schema: dict[str, Any],
    example: str,
    headers: dict[str, dict[str, Any]] | None = None,
    media_type: str = "application/json",
) -> dict[str, Any]:
    """Describe a success; `headers` are those worth a word."""
    described: dict[str, Any] = {
        "description": description,
        "content": {media_type: {"schema": schema, "examples": examples_of(example)}},
    }
    return described | {"headers": headers} if headers else described


def problem_answers(*codes: Code) -> dict[int | str, dict[str, Any]]:
    """Describe the problems of a route, by status; those that any route may have are the default."""
    answers: dict[int | str, dict[str, Any]] = {"default": _problem("Any other problem.", [])}
    by_status: dict[int, list[Code]] = {}
    for code in codes:
        by_status.setdefault(_EXAMPLES[code][0], []).append(code)
    for status, alike in by_status.items():
        answers[status] = _problem(" ".join(_EXAMPLES[code][1] for code in alike), alike)
        if status in _RETRIED:
            answers[status]["headers"] = {"Retry-After": header("Seconds until a repeat makes sense.", "integer")}
    return answers


def query_parameters(
    *described: tuple[str, str, dict[str, Any], Any], required: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """Describe query parameters: name, description, schema, example. Those named in `required` must be given."""
    return [_parameter("query", *parameter) | {"required": parameter[0] in required} for parameter in described]


def header_parameter(
    name: str, description: str, schema: dict[str, Any], example: str | int, *, required: bool = False
) -> dict[str, Any]:
    """Describe a header of a request."""
    return _parameter("header", name, description, schema, example) | {"required": required}


def path_parameter(name: str, description: str, schema: dict[str, Any], example: str) -> dict[str, Any]:
    """Describe a part of a path."""
    return {**_parameter("path", name, description, schema, example), "required": True}


def _parameter(place: str, name: str, description: str, schema: dict[str, Any], example: Any) -> dict[str, Any]:  # noqa: ANN401
    fixed = {"name": name, "in": place, "required": False}
    return {**fixed, "description": description, "schema": schema, "example": example}


def _problems() -> dict[str, dict[str, Any]]:
    return {
        code.value: problems.body_of(status, code, detail, _FAULTS.get(code, ()))
        for code, (status, _, detail) in _EXAMPLES.items()
    }


def _problem(description: str, codes: list[Code]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schema_of(schemas.Problem)}
    if codes:
        content["examples"] = examples_of(*codes)
    return {"description": description, "content": {problems.MEDIA_TYPE: content}}
