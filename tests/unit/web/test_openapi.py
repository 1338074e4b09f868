"""The OpenAPI document: whole, true to the routes, with an example for every operation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import jsonschema_rs
import pytest

from api.web import schemas
from api.web.application import create_app
from tests.support.web import services_of

if TYPE_CHECKING:
    from api.queue.queue import Queue


def document(**settings: Any) -> dict[str, Any]:
    return create_app(services_of(cast("Queue", None), **settings)).openapi()


DOCUMENT = document()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


def resolve(reference: str) -> Any:
    found: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [found for item in value for found in references(item)]
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for item in value.values() for found in references(item)]
    return []


def contents(operation: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    places = {**operation["responses"], "request": operation.get("requestBody", {})}
    return [
        (media_type, content) for place in places.values() for media_type, content in place.get("content", {}).items()
    ]


def test_its_version_and_its_operations() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert set(OPERATIONS) == {
        "POST /api/tasks", "GET /api/tasks", "GET /api/tasks/{task_id}", "DELETE /api/tasks/{task_id}",
        "GET /api/tasks/{task_id}/result", "GET /api/task-types", "GET /livez", "GET /readyz", "GET /metrics", "GET /",
        "GET /api/tasks/{task_id}/deliveries", "POST /api/tasks/{task_id}/redeliver", "GET /api/deliveries",
        "POST /api/deliveries/redeliver", "DELETE /api/tasks/{task_id}/delivery",
        "GET /api/checks",
    }  # fmt: skip
    assert len({operation["operationId"] for operation in OPERATIONS.values()}) == len(OPERATIONS)


def test_it_is_made_once() -> None:
    app = create_app(services_of(cast("Queue", None)))
    assert app.openapi() is app.openapi()


@pytest.mark.parametrize(("root_path", "url"), [("", "."), ("/tasks", "/tasks")])
def test_a03_its_server_is_where_the_service_is(root_path: str, url: str) -> None:
    assert document(root_path=root_path)["servers"] == [{"url": url}]


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        assert resolve(reference)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_has_examples_that_fit_their_schemas(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation["summary"]
    assert operation["description"]
    for status, response in operation["responses"].items():
        assert status in {"200", "202"} or list(response["content"]) == ["application/problem+json"]
    for media_type, content in contents(operation):
        examples = [resolve(example["$ref"])["value"] for example in content.get("examples", {}).values()]
        assert examples or media_type == "application/problem+json"
        validator = jsonschema_rs.validator_for({**content["schema"], "components": DOCUMENT["components"]})
        for example in examples:
            validator.validate(example)


def test_parameters_have_examples_that_fit_their_schemas() -> None:
    parameters = [parameter for operation in OPERATIONS.values() for parameter in operation.get("parameters", [])]
    assert {parameter["name"] for parameter in parameters} == {
        "Idempotency-Key", "status", "task_type", "limit", "cursor", "task_id", "host",
    }  # fmt: skip
    for parameter in parameters:
        jsonschema_rs.validator_for(parameter["schema"]).validate(parameter["example"])


def test_a_submission_is_described_strictly() -> None:
    schema = DOCUMENT["components"]["schemas"]["TaskSubmission"]
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["result_url", "task_type"]
    assert schema["properties"]["priority"] | {"description": ""} == {
        "type": "integer", "minimum": -100, "maximum": 100, "default": 0, "title": "Priority", "description": "",
    }  # fmt: skip
    assert set(schema["properties"]) == set(schemas.TaskSubmission.model_fields)


def test_nulls_in_examples_are_kept() -> None:
    assert DOCUMENT["components"]["examples"]["accepted"]["value"]["task"]["started_at"] is None
