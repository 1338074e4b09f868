"""The OpenAPI document: whole, true to the routes, with an example for every operation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import jsonschema_rs
import pytest

from api.web import schemas
from api.web.application import create_app
from api.web.list_query import read_query
from runner.delivery.sign import signature_headers
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

WEBHOOK = DOCUMENT["webhooks"]["taskEnded"]["post"]
ACCEPTED = {"POST /api/tasks", "POST /api/tasks/{task_id}/redeliver", "POST /api/deliveries/redeliver"}


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
        "GET /api/tasks/{task_id}/log",
        "GET /api/tasks/{task_id}/deliveries", "POST /api/tasks/{task_id}/redeliver", "GET /api/deliveries",
        "POST /api/deliveries/redeliver", "DELETE /api/tasks/{task_id}/delivery",
        "GET /api/checks",
    }  # fmt: skip
    operations = [*OPERATIONS.values(), WEBHOOK]
    assert len({operation["operationId"] for operation in operations}) == len(operations)


def test_it_is_made_once() -> None:
    app = create_app(services_of(cast("Queue", None)))
    assert app.openapi() is app.openapi()


@pytest.mark.parametrize(("root_path", "url"), [("", "."), ("/tasks", "/tasks")])
def test_a03_its_server_is_where_the_service_is(root_path: str, url: str) -> None:
    assert document(root_path=root_path)["servers"] == [{"url": url}]


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        assert resolve(reference)


def test_licence_and_security_are_stated() -> None:
    assert DOCUMENT["info"]["license"] == {"name": "Apache License 2.0", "identifier": "Apache-2.0"}
    assert DOCUMENT["security"] == []
    assert "no authentication" in DOCUMENT["info"]["description"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_has_one_success(name: str) -> None:
    assert [status for status in OPERATIONS[name]["responses"] if status.startswith("2")] == [
        "202" if name in ACCEPTED else "200"
    ]


def test_ids_of_tasks_have_one_type() -> None:
    found = [
        parameter["schema"]
        for operation in OPERATIONS.values()
        for parameter in operation.get("parameters", [])
        if parameter["name"] == "task_id"
    ]
    models = DOCUMENT["components"]["schemas"].values()
    found += [model["properties"]["task_id"] for model in models if "task_id" in model.get("properties", {})]
    assert len(found) >= 10
    for schema in found:
        assert {name: value for name, value in schema.items() if name != "title"} == {
            "type": "string",
            "format": "uuid",
        }


def test_a_parameter_that_may_be_repeated_is_a_list() -> None:
    """Repeated is also the form in which OpenAPI sends a list if nothing else is said."""
    (status,) = (found for found in OPERATIONS["GET /api/tasks"]["parameters"] if found["name"] == "status")
    assert status["schema"] == {"type": "array", "items": {"$ref": "#/components/schemas/State"}, "minItems": 1}
    assert not status.keys() & {"style", "explode"}
    query = read_query([("status", value) for value in status["example"]])
    assert query.states == tuple(status["example"])


def test_what_a_call_needs_is_required() -> None:
    required = {
        (name, parameter["name"])
        for name, operation in OPERATIONS.items()
        for parameter in operation.get("parameters", [])
        if parameter["required"] and parameter["in"] != "path"
    }
    assert required == {("GET /api/deliveries", "status")}


def test_the_callback_is_described_as_it_is_sent() -> None:
    headers = {parameter["name"]: parameter for parameter in WEBHOOK["parameters"]}
    sent = signature_headers([bytes(32)], "msg_1", 1755595443, b"{}")
    assert set(headers) == set(sent)
    signed_only = set(sent) - set(signature_headers([], "msg_1", 1755595443, b"{}"))
    assert {name for name, header in headers.items() if not header["required"]} == signed_only
    assert contents(WEBHOOK)[0][1]["schema"] == {"$ref": "#/components/schemas/Outcome"}


def test_the_result_and_the_callback_have_the_same_schema() -> None:
    result = OPERATIONS["GET /api/tasks/{task_id}/result"]["responses"]["200"]["content"]["application/json"]
    assert result["schema"] == contents(WEBHOOK)[0][1]["schema"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_has_examples_that_fit_their_schemas(name: str) -> None:
    check_examples(OPERATIONS[name])
    for status, response in OPERATIONS[name]["responses"].items():
        assert status in {"200", "202"} or list(response["content"]) == ["application/problem+json"]


def test_the_webhook_has_examples_that_fit_its_schema() -> None:
    check_examples(WEBHOOK)


def check_examples(operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["description"]
    for media_type, content in contents(operation):
        examples = [resolve(example["$ref"])["value"] for example in content.get("examples", {}).values()]
        assert examples or media_type == "application/problem+json"
        validator = jsonschema_rs.validator_for({**content["schema"], "components": DOCUMENT["components"]})
        for example in examples:
            validator.validate(example)


def test_parameters_have_examples_that_fit_their_schemas() -> None:
    operations = [*OPERATIONS.values(), WEBHOOK]
    parameters = [parameter for operation in operations for parameter in operation.get("parameters", [])]
    assert {parameter["name"] for parameter in parameters} == {
        "Idempotency-Key", "status", "task_type", "limit", "cursor", "task_id", "host",
        "webhook-id", "webhook-timestamp", "webhook-signature",
    }  # fmt: skip
    for parameter in parameters:
        schema = {**parameter["schema"], "components": DOCUMENT["components"]}
        jsonschema_rs.validator_for(schema).validate(parameter["example"])


def test_a_submission_is_described_strictly() -> None:
    schema = DOCUMENT["components"]["schemas"]["TaskSubmission"]
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["result_url", "task_type"]
    assert schema["properties"]["priority"] | {"description": ""} == {
        "type": "integer", "minimum": -100, "maximum": 100, "title": "Priority", "description": "",
    }  # fmt: skip
    assert set(schema["properties"]) == set(schemas.TaskSubmission.model_fields)


def test_no_member_has_a_default() -> None:
    """Clients that openapi-typescript generates would have to send it."""
    members = [
        member
        for model in DOCUMENT["components"]["schemas"].values()
        for member in model.get("properties", {}).values()
    ]
    assert members
    assert not [member for member in members if "default" in member]


def test_nulls_in_examples_are_kept() -> None:
    assert DOCUMENT["components"]["examples"]["accepted"]["value"]["task"]["started_at"] is None
