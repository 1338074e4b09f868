"""From a body's bytes to a submission, or to all that is wrong with it."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.core.task_types import TaskTypeDefinition, TaskTypes
from api.queue.shapes import Submission
from api.web.problems import Code, Problem
from api.web.submission import Intake
from runner.delivery.guard import Policy
from tests.support.web import TYPES, VALID

INTAKE = Intake(lambda: TYPES, Policy(allow_loopback=False))


def read(key: str | None = None, **members: Any) -> Submission:
    body = {name: value for name, value in {**VALID, **members}.items() if value is not ...}
    return INTAKE.read(json.dumps(body).encode(), key)


def errors(raw: bytes | None = None, /, intake: Intake = INTAKE, **members: Any) -> dict[str, str]:
    body = {name: value for name, value in {**VALID, **members}.items() if value is not ...}
    with pytest.raises(Problem) as caught:
        intake.read(json.dumps(body).encode() if raw is None else raw, None)
    assert caught.value.status == 400
    return {fault.pointer: fault.detail for fault in caught.value.errors}


def intake_for(schema: dict[str, Any]) -> Intake:
    definition = TaskTypeDefinition("fibonacci", "", schema, {}, None, 60, lambda _: 60)
    return Intake(lambda types={"fibonacci": definition}: types, Policy(allow_loopback=False))


def test_defaults() -> None:
    assert read() == Submission("fibonacci", '{"n":10}', None, 0, 600_000)


def test_all_members() -> None:
    given_url = "https://user:pass@example.com/%C3%BC?x=1"
    made = read(result_url=given_url, priority=-100, timeout_seconds=1.5, task_input={"n": 0})
    assert made == Submission("fibonacci", '{"n":0}', given_url, -100, 1500)


def test_a_default_of_the_type_depends_on_the_input_and_has_its_maximum() -> None:
    assert read(task_type="sleep", task_input={"seconds": 2.5}).timeout_ms == 62_500
    assert read(task_type="anything").timeout_ms == 60_000


def test_input_left_out_is_an_empty_object() -> None:
    assert read(task_type="anything", task_input=...).task_input == "{}"
    assert errors(task_input=...) == {"/task_input/n": "The member is required"}


@pytest.mark.parametrize("default", [{"n": [1]}, [], "x", None, 10**300, 1.5, False])
def test_input_left_out_is_the_default_of_the_schema(default: Any) -> None:
    made = intake_for({"default": default}).read(b'{"result_url": null, "task_type": "fibonacci"}', None)
    assert json.loads(made.task_input) == default
    given_null = intake_for({"default": 1}).read(b'{"result_url":null,"task_type":"fibonacci","task_input":null}', None)
    assert given_null.task_input == "null"


def test_the_default_is_not_laid_under_what_is_sent() -> None:
    schema = {"required": ["n"], "default": {"n": 1, "m": 2}}
    assert errors(intake=intake_for(schema), task_input={}) == {"/task_input/n": "The member is required"}
    given_one = intake_for(schema).read(b'{"result_url":null,"task_type":"fibonacci","task_input":{"n":3}}', None)
    assert given_one.task_input == '{"n":3}'


def test_a_run_time_is_computed_from_the_default_too_and_cannot_change_it() -> None:
    def taking(task_input: dict[str, Any]) -> float:
        return float(task_input.pop("seconds"))

    definition = TaskTypeDefinition("sleep", "", {"default": {"seconds": 7}}, {}, None, 60, taking)
    intake = Intake(lambda types={"sleep": definition}: types, Policy(allow_loopback=False))
    for _ in range(2):
        made = intake.read(b'{"result_url": null, "task_type": "sleep"}', None)
        assert (made.task_input, made.timeout_ms) == ('{"seconds":7}', 7000)


@pytest.mark.parametrize("name", [["fibonacci"], {}, 1, None, "nope"])
def test_no_type_no_default(name: Any) -> None:
    assert list(errors(task_type=name, task_input=...)) == ["/task_type"]


@pytest.mark.parametrize(
    "value", [2**64, -9223372036854775809, 10**4000, 0.1, 1e22, "a\x00b", "😀 é", None, [], [[1]], True]
)
def test_p02_p09_input_is_kept_exactly(value: Any) -> None:
    kept = read(task_type="anything", task_input={"v": value}).task_input
    assert kept == json.dumps({"v": value}, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize("value", [2**64, -9223372036854775809, 10**4000, 1e308, -1e308])
def test_p02_numbers_beyond_64_bits_are_judged_by_the_schema(value: float) -> None:
    assert list(errors(task_input={"n": value})) == ["/task_input/n"]


@pytest.mark.parametrize("value", [0, 1, 2, 93, 94, 10_000_000, 10.0])
def test_p04_fibonacci_takes(value: float) -> None:
    assert read(task_input={"n": value})


@pytest.mark.parametrize("value", [-1, True, False, "10", 10.5, None, [], {}, 10_000_001])
def test_p04_fibonacci_refuses(value: Any) -> None:
    assert list(errors(task_input={"n": value})) == ["/task_input/n"]


@pytest.mark.parametrize("value", [-1, True, 1e308, 10**18, "1"])
def test_p04_sleep_refuses(value: Any) -> None:
    assert list(errors(task_type="sleep", task_input={"seconds": value})) == ["/task_input/seconds"]


@pytest.mark.parametrize("value", [[], "x", 1, None])
def test_p04_an_input_that_is_no_object(value: Any) -> None:
    assert list(errors(task_input=value)) == ["/task_input"]


@pytest.mark.parametrize("value", [-100, 0, 100, 1.0, -0.0, 1e2])
def test_priorities(value: float) -> None:
    made = read(priority=value).priority
    assert made == value
    assert type(made) is int


@pytest.mark.parametrize("value", [-101, 101, 1.5, True, "1", None, [], 10**4000, 1e300])
def test_no_priorities(value: Any) -> None:
    assert list(errors(priority=value)) == ["/priority"]


@pytest.mark.parametrize("value", [0, 0.999, -1, 3600.5, True, "1", None, [], 10**4000, 1e300])
def test_no_timeouts(value: Any) -> None:
    assert "/timeout_seconds" in errors(timeout_seconds=value)


@pytest.mark.parametrize("value", [1, 1.0, 3600])
def test_timeouts(value: float) -> None:
    assert read(timeout_seconds=value).timeout_ms == value * 1000


def test_everything_wrong_is_named_at_once() -> None:
    found = errors(
        result_url="ftp://h/", task_type="sleep", task_input={"a/b": 1, "c": 2}, priority="1", timeout_seconds=0, x=1,
    )  # fmt: skip
    assert set(found) == {
        "/result_url", "/priority", "/timeout_seconds", "/x",
        "/task_input/a~1b", "/task_input/c", "/task_input/seconds",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        ("priority", 1000, "Expected a whole number from -100 to 100"),
        ("priority", "x", "Expected a whole number from -100 to 100"),
        ("timeout_seconds", 0, "Expected a number of at least 1"),
        ("result_url", 5, "Expected text"),
        (
            "result_url",
            "example.com/x",
            "Expected an absolute http or https URL, for example https://example.com/results",
        ),
        ("colour", 1, "Unknown member; allowed: result_url, task_type, task_input, priority, timeout_seconds"),
    ],
)
def test_a_wrong_member_is_answered_with_what_is_allowed(member: str, value: Any, message: str) -> None:
    assert errors(**{member: value})[f"/{member}"] == message


@pytest.mark.parametrize("member", ["result_url", "task_type"])
def test_required_members(member: str) -> None:
    assert errors(**{member: ...})[f"/{member}"] == "The member is required"


@pytest.mark.parametrize("value", [1, True, [], {}, "", "http://localhost/"])
def test_no_result_urls(value: Any) -> None:
    assert list(errors(result_url=value)) == ["/result_url"]


@pytest.mark.parametrize("value", ["", "nope", "fibonacci ", "FIBONACCI", "a" * 100_000, "\u0000"])
def test_an_unknown_type_is_answered_with_the_known_ones(value: str) -> None:
    assert "anything, fibonacci, sleep" in errors(task_type=value)["/task_type"]


def test_all_known_types_are_listed_however_many() -> None:
    types = {f"type-number-{number}": TYPES["anything"] for number in range(100)}
    detail = errors(intake=Intake(lambda: types, Policy(allow_loopback=False)))["/task_type"]
    assert all(name in detail for name in types)


def test_the_nearest_type_is_named() -> None:
    assert errors(task_type="fibonaci")["/task_type"].startswith(
        "Task type 'fibonaci' does not exist. Did you mean fibonacci? The task types are "
    )
    assert "did you mean" not in errors(task_type="xyzzy")["/task_type"]


def test_a_type_that_cannot_be_used_takes_down_no_other() -> None:
    types = TaskTypes(TYPES | {"odd": replace(TYPES["anything"], input_schema={"type": "nonsense"})}, ["bad"])
    intake = Intake(lambda: types, Policy(allow_loopback=False))
    assert "cannot be used" in errors(intake=intake, task_type="odd")["/task_type"]
    assert "has faults" in errors(intake=intake, task_type="bad")["/task_type"]
    assert intake.read(json.dumps(VALID).encode(), None).task_type == "fibonacci"


@pytest.mark.parametrize("value", [1, None, ["fibonacci"]])
def test_a_type_that_is_no_name(value: Any) -> None:
    assert list(errors(task_type=value)) == ["/task_type"]


@pytest.mark.parametrize("raw", [b"[]", b"null", b'"str"', b"1", b"true"])
def test_p09_a_body_that_is_no_object(raw: bytes) -> None:
    assert errors(raw) == {"": "Expected an object"}


def test_p09_a_body_that_is_no_json() -> None:
    with pytest.raises(Problem) as caught:
        INTAKE.read(b'{"task_type":"sleep","task_type":"fibonacci"}', None)
    assert caught.value.code is Code.INVALID_JSON
    assert [fault.pointer for fault in caught.value.errors] == ["/task_type"]


@pytest.mark.parametrize(
    ("schema", "value", "pointer"),
    [
        ({"unevaluatedProperties": False, "properties": {"a": {}}}, {"b": 1}, "/task_input/b"),
        ({"additionalProperties": False}, {"b": 1}, "/task_input"),
        ({"properties": {"a": False}}, {"a": 1}, "/task_input/a"),
        ({"if": {"required": ["a"]}, "then": {"required": ["b"]}}, {"a": 1}, "/task_input/b"),
        ({"properties": {"a": {"items": {"type": "string"}}}}, {"a": ["x", 1]}, "/task_input/a/1"),
        ({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, {}, "/task_input"),
        ({"properties": {"a": {"pattern": "^(a+)+$"}}}, {"a": "a" * 40 + "b"}, "/task_input/a"),
        ({"properties": {"a": {"multipleOf": 7}}}, {"a": 7 * 10**4000 + 1}, "/task_input/a"),
    ],
)
def test_errors_of_other_schemas(schema: dict[str, Any], value: Any, pointer: str) -> None:
    assert list(errors(intake=intake_for(schema), task_input=value)) == [pointer]


def test_an_answer_does_not_grow_with_what_was_sent() -> None:
    assert len(errors(**{f"x{number}": 1 for number in range(5000)})) == 50
    assert len(errors(task_input={f"x{number}": 1 for number in range(1000)})) == 50
    assert max(map(len, errors(**{"n" * 100_000: 1}))) == 200
    [detail] = errors(task_input={"n": "y" * 100_000}).values()
    assert len(detail) == 200
    assert detail.endswith('is not of type "integer"')


def test_a_large_input_is_judged_fast_by_its_first_error() -> None:
    intake = intake_for({"properties": {"a": {"items": {"type": "integer"}}}})
    begin = time.process_time()
    found = errors(intake=intake, task_input={"a": ["x"] * 200_000})
    assert time.process_time() - begin < 1
    assert list(found) == ["/task_input/a/0"]


@given(st.dictionaries(st.text(), st.integers()))
def test_a_digest_is_of_the_parsed_body(members: dict[str, int]) -> None:
    body = {**VALID, "task_type": "anything", "task_input": members}
    first = INTAKE.read(json.dumps(body).encode(), "key")
    turned = {**dict(reversed(body.items())), "task_input": dict(reversed(members.items()))}
    again = INTAKE.read(json.dumps(turned, ensure_ascii=False, indent=1).encode(), "key")
    other = INTAKE.read(json.dumps({**body, "priority": 1}).encode(), "key")
    assert first.digest == again.digest != other.digest
    assert (first.idempotency_key, len(first.digest)) == ("key", 32)


def test_a_schema_that_is_none_stops_no_start(caplog: pytest.LogCaptureFixture) -> None:
    assert "cannot be used" in errors(intake=intake_for({"type": "nonsense"}))["/task_type"]
    (record,) = caplog.records
    assert "is not valid under" in record.reason  # type: ignore[attr-defined]
