"""What is said of an invalid input, and that saying it has a bound that no input can choose."""

from __future__ import annotations

import itertools
import json
import resource
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema_rs import validator_for

from api.core.input_schema import compile_schema
from api.web.faults import MAX_FAULTS
from api.web.schema_faults import InputSchema, spelled_out_bytes
from api.web.schema_outline import MAX_NODES, outline

N = {"$ref": "#/$defs/n"}
NAMES = [f"The country with number {number}" for number in range(250)]
CALCULATOR = {
    "$ref": "#/$defs/n",
    "$defs": {
        "n": {
            "anyOf": [
                {"type": "number"},
                {
                    "type": "object",
                    "required": ["op", "left", "right"],
                    "properties": {"op": {"enum": ["+", "-"]}, "left": N, "right": N},
                    "additionalProperties": False,
                },
                {"type": "object", "required": ["negate"], "properties": {"negate": N}},
            ]
        }
    },
}


def recursive(body: dict[str, Any]) -> dict[str, Any]:
    return {"$defs": {"n": body}, **N}


def member(*more: str) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": N}, "required": ["a", *more]}


RECURSIVE = {
    "anyOf": recursive({"anyOf": [member(), member(), {"type": "null"}]}),
    "oneOf": recursive({"oneOf": [member(), member("b"), {"type": "null"}]}),
    "allOf": recursive({"allOf": [{"properties": {"a": N}}, {"properties": {"a": N}}], "type": ["object", "null"]}),
    "two ways": recursive({"properties": {"a": N}, "patternProperties": {"^a": N}, "type": ["object", "null"]}),
    "if": recursive({"if": member(), "then": member(), "else": {"anyOf": [member(), {"type": "null"}]}}),
    "not": recursive({"not": {"not": {"anyOf": [member(), member(), {"type": "null"}]}}}),
    "dependent": recursive({"dependentSchemas": {"a": member()}, "properties": {"a": N}, "type": ["object", "null"]}),
    "unevaluated": recursive(
        {"anyOf": [member(), member(), {"type": "null"}], "unevaluatedProperties": False, "type": ["object", "null"]}
    ),
    "dynamic": {
        "$dynamicAnchor": "n",
        "type": ["object", "null"],
        "anyOf": [{"properties": {"a": {"$dynamicRef": "#n"}}}, {"properties": {"a": {"$dynamicRef": "#n"}}}],
    },
    "2019-09": {
        "$schema": "https://json-schema.org/draft/2019-09/schema",
        "$recursiveAnchor": True,
        "type": ["object", "null"],
        "anyOf": [{"properties": {"a": {"$recursiveRef": "#"}}}, {"properties": {"a": {"$recursiveRef": "#"}}}],
    },
    "draft-07": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"n": {"anyOf": [{"properties": {"a": {"$ref": "#"}}}, {"type": "null"}]}},
        "type": ["object", "null"],
        "oneOf": [{"$ref": "#/definitions/n"}],
        "anyOf": [{"$ref": "#/definitions/n"}, {"$ref": "#/definitions/n"}],
    },
    "named": {
        "$id": "https://example.com/tree",
        "$anchor": "n",
        "type": ["object", "null"],
        "anyOf": [{"properties": {"a": {"$ref": "tree"}}}, {"properties": {"a": {"$ref": "#n"}}}],
    },
}


def nested(levels: int, leaf: Any) -> Any:
    value = leaf
    for _ in range(levels):
        value = {"a": value}
    return value


def tree(levels: int, leaf: Any) -> Any:
    return {"op": "+", "left": tree(levels - 1, leaf), "right": tree(levels - 1, leaf)} if levels else leaf


def described(schema: dict[str, Any], value: Any) -> tuple[list[str], float]:
    """The pointers of all faults, and the CPU time that they took."""
    compiled = InputSchema(schema)
    begin = time.process_time()
    found = compiled.faults(value, spelled_out_bytes(json.dumps(value).encode()))
    return [fault.pointer for fault in found], time.process_time() - begin


@pytest.mark.parametrize("kind", RECURSIVE)
@pytest.mark.parametrize("levels", [1, 20, 95])
def test_the_levels_of_a_recursive_schema_cost_nothing(kind: str, levels: int) -> None:
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pointers, seconds = described(RECURSIVE[kind], nested(levels, "x"))
    assert pointers and seconds < 0.5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 50_000  # KiB
    assert described(RECURSIVE[kind], nested(levels, None))[0] == []


@pytest.mark.parametrize("levels", [3, 6, 8])
def test_a_calculator(levels: int) -> None:
    pointers, seconds = described(CALCULATOR, tree(levels, "x"))
    assert pointers == ["/task_input"]
    assert seconds < 0.5
    assert described(CALCULATOR, tree(levels, 1))[0] == []


@pytest.mark.alone
@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (
            {"items": {"oneOf": [{"properties": {"k": {"const": k}}, "required": ["k"]} for k in range(100)]}},
            [{}] * 50_000,
        ),
        ({"items": {"oneOf": [{"type": "string", "minLength": k} for k in range(100)]}}, ["x" * 200] * 4000),
        ({"anyOf": [{"items": {"type": "string"}}, {"items": {"type": "null"}}]}, [1] * 300_000),
        ({"anyOf": [{"items": {"anyOf": [{"type": "string"}, {"type": "null"}]}}] * 2}, [1] * 5000),
        ({"uniqueItems": True}, [*range(100_000), 0]),
        ({"items": {"uniqueItems": True}}, [[[i % 97], {"a": i % 89}] * 2 for i in range(20_000)]),
        ({"additionalProperties": {"type": "null"}}, {f"n{number}": 1 for number in range(60_000)}),
        ({"additionalProperties": False, "properties": {}}, {f"n{number}": 1 for number in range(1500)}),
        ({"propertyNames": {"maxLength": 2}}, {f"name{number}": 1 for number in range(1000)}),
        ({"items": {"pattern": "^(a+)+$"}}, ["a" * 30 + "b"] * 25_000),
        ({"contains": {"anyOf": [{"const": number} for number in range(20)]}}, [21] * 100_000),
        ({"allOf": [{"items": {"minimum": number}} for number in range(1, 400)]}, [0] * 5000),
        ({"items": {"required": NAMES}}, [{}] * 9000),
        ({"items": {"required": [*"abcdefgh"]}}, [{}] * 16_000),
        ({"items": {"dependentRequired": {"a": NAMES}}}, [{"a": 1}] * 9000),
        (
            {"$schema": "http://json-schema.org/draft-07/schema", "items": {"dependencies": {"a": NAMES}}},
            [{"a": 1}] * 9000,
        ),
        ({"items": {"enum": NAMES}}, [1] * 30_000),
        ({"items": {"const": NAMES}}, [1] * 30_000),
        ({"items": {"enum": [*range(50)]}}, [1.3e-300] * 1500),
        ({"contains": {"type": "string"}}, [1e308] * 160_000),
    ],
)
def test_wide_schemas_and_large_inputs(schema: dict[str, Any], value: Any) -> None:
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pointers, seconds = described(schema, value)
    assert 1 <= len(pointers) <= MAX_FAULTS
    assert seconds < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 300_000  # KiB


def test_what_takes_long_to_decide_is_not_described() -> None:
    schema = {"items": {"oneOf": [{"const": number} for number in range(50)]}}
    compiled = InputSchema(schema)
    value = [49] * 100_000 + ["x"]
    begin = time.process_time()
    assert not compile_schema(schema).is_valid(value)
    decided = time.process_time()
    [fault] = compiled.faults(value, 300_000)
    assert fault.pointer == "/task_input" and "input_schema" in fault.detail
    assert time.process_time() - decided < 2 * (decided - begin)


def test_a_schema_that_refers_to_itself_in_many_ways_has_a_bounded_outline() -> None:
    names = [f"d{number}" for number in range(40)]
    fan = {name: {"allOf": [{"$ref": f"#/$defs/{after}"}] * 3} for name, after in itertools.pairwise(names)}
    schema = {"$defs": {**fan, names[-1]: {"type": "string"}}, "$ref": "#/$defs/d0"}
    assert json.dumps(outline(schema, "").schema).count("allOf") <= MAX_NODES
    pointers, seconds = described(schema, 1)
    assert pointers == ["/task_input"] and seconds < 1


@pytest.mark.parametrize(
    ("schema", "value", "faults"),
    [
        (
            {"type": "object", "properties": {"value": {"type": "integer"}, "children": {"items": {"$ref": "#"}}}},
            {"value": 1, "children": [{"value": 2}, {"children": [{"value": "x"}]}]},
            {"/task_input/children/1/children/0/value": '"x" is not of type "integer"'},
        ),
        (
            {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "x",
            {"/task_input": '"x" is not valid under any of the schemas listed in the \'anyOf\' keyword'},
        ),
        (
            {"oneOf": [{"type": "integer"}, {"type": "null"}]},
            "x",
            {"/task_input": '"x" is not valid under any of the schemas listed in the \'oneOf\' keyword'},
        ),
        (
            {"oneOf": [{"type": "integer"}, {"minimum": 3}]},
            5,
            {"/task_input": "5 is valid under more than one of the schemas listed in the 'oneOf' keyword"},
        ),
        ({"not": {"type": "string"}}, "x", {"/task_input": "\"x\" matches what the schema excludes by 'not'"}),
        (
            {"$defs": {"a/b ~%": {"required": ["k"]}}, "properties": {"x": {"$ref": "#/$defs/a~1b%20~0%25"}}},
            {"x": {}},
            {"/task_input/x/k": "The member is required"},
        ),
        (
            {"allOf": [{"properties": {"a": True}}], "unevaluatedProperties": False},
            {"b": 1},
            {"/task_input": '{"b":1} does not match its schema'},
        ),
        (
            {"$id": "http://h/s", "properties": {"x": {"$ref": "#/$defs/t"}}, "$defs": {"t": {"type": "null"}}},
            {"x": 1},
            {"/task_input/x": '1 is not of type "null"'},
        ),
        (
            {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"t": {"type": "null"}},
             "properties": {"x": {"$ref": "#/definitions/t", "maximum": 0}}},
            {"x": 1},
            {"/task_input/x": '1 is not of type "null"'},
        ),
        ({"propertyNames": {"maxLength": 2}}, {"abc": 1}, {"/task_input": '"abc" is longer than 2 characters'}),
    ],
)  # fmt: skip
def test_what_is_said(schema: dict[str, Any], value: Any, faults: dict[str, str]) -> None:
    assert {fault.pointer: fault.detail for fault in InputSchema(schema).faults(value, 10)} == faults


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "bcd"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=6,
)
LEAVES = st.sampled_from(
    [True, False, {}, {"type": "integer"}, {"type": ["object", "null"]}, {"minLength": 1}, {"required": ["a"]},
     {"maximum": 1}, {"const": 1}, {"enum": ["a", None]}, {"maxItems": 1}, {"uniqueItems": True}, {"$ref": "#/$defs/r"}]
)  # fmt: skip


def applied(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    one = st.sampled_from(
        [
            "not",
            "items",
            "additionalProperties",
            "contains",
            "propertyNames",
            "unevaluatedProperties",
            "unevaluatedItems",
        ]
    )
    many = st.sampled_from(["anyOf", "oneOf", "allOf", "prefixItems"])
    named = st.sampled_from(["properties", "patternProperties", "dependentSchemas"])
    members = st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2)
    keywords = (
        st.dictionaries(one, inner, max_size=2),
        st.dictionaries(many, st.lists(inner, min_size=1, max_size=3), max_size=2),
        st.dictionaries(named, members, max_size=2),
        st.fixed_dictionaries({}, optional={"if": inner, "then": inner, "else": inner}),
    )
    return st.tuples(*keywords).map(lambda parts: parts[0] | parts[1] | parts[2] | parts[3])


@settings(max_examples=400)
@given(st.recursive(LEAVES, applied, max_leaves=8), st.recursive(LEAVES, applied, max_leaves=5), VALUES)
def test_an_outline_finds_a_fault_where_there_is_one_and_no_other(schema: Any, referred: Any, value: Any) -> None:
    whole = {"$defs": {"r": {"properties": {"a": referred}}}, "allOf": [schema]}
    found = InputSchema(whole).faults(value, 10)
    real = {tuple(error.instance_path) for error in validator_for(whole).iter_errors(value)}
    assert bool(found) == bool(real)
    for fault in found:
        path = tuple(int(step) if step.isdecimal() else step for step in fault.pointer.split("/")[2:])
        assert any(path[: len(place)] == place for place in real), (path, real)
