"""Input schemas: all that is wrong with one is found at once, and what would check nothing is refused too."""

# ruff: noqa: E501 - the rows of tables are lines

from __future__ import annotations

import time

import pytest

from api.core.schema_rules import MOST_FAULTS, resolve, schema_errors
from runner.tasks.registry import load_all

NEWER, OLDER = "https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-07/schema#"


def told(schema):
    return {".".join(map(str, error.place)): error.reason for error in schema_errors(schema)}


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"type": "array"}, "type"),
        ({"type": ["array", "null"]}, "type"),
        ({"$schema": OLDER, "type": "string"}, "type"),
        ({"const": [1]}, "const"),
        ({"enum": [1, "a"]}, "enum"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}, "$ref"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"type": "array"}}}, "$ref"),
        ({"allOf": [{}, {"type": "array"}]}, "allOf"),
        ({"anyOf": [{"type": "array"}, {"type": "null"}]}, "anyOf"),
        ({"oneOf": [{"type": "array"}, False]}, "oneOf"),
    ],
)
def test_a_schema_that_no_object_fits_is_refused(schema, place):
    found = told(schema)
    assert list(found) == [place] and "the input of a task is an object" in found[place]


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"type": ["object", "array"]},
        {"enum": [1, {}]},
        {"anyOf": [{"type": "array"}, {"type": "object"}]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"b": {"$ref": "#/$defs/a"}}}}},
        {"$ref": "#"},
        {"type": "object", "properties": {"type": {"type": "string"}, "requried": {}}, "required": ["type"]},
        {
            "type": "object",
            "properties": {"a": {"const": {"requried": 1}}},
            "x-owner": "us",
            "nullable": True,
            "example": {},
        },
        {"type": "object", "required": ["b"], "properties": {"a": {}}},
        {"type": "object", "required": ["ab"], "patternProperties": {"^a": {}}, "additionalProperties": False},
        {"not": {"required": ["b"], "properties": {}, "additionalProperties": False}},
        {"$schema": OLDER, "definitions": {"a": {}}, "$ref": "#/definitions/a"},
        {"team": "numbers", "ui:order": ["a"], "version": 3},
    ],
)
def test_what_is_right_is_taken(schema):
    assert told(schema) == {}


def test_the_schemas_of_our_own_types_are_right():
    assert [schema_errors(one.input_schema) for one in load_all().values()] == [[], [], []]


@pytest.mark.parametrize(
    ("schema", "place", "hint"),
    [
        ({"typ": "object"}, "typ", "did you mean type?"),
        ({"type": "object", "requried": ["a"]}, "requried", "did you mean required?"),
        ({"type": "object", "propertys": {}}, "propertys", "did you mean properties?"),
        ({"additionalproperties": False}, "additionalproperties", "did you mean additionalProperties?"),
        ({"properties": {"a": {"max_length": 3}}}, "properties.a.max_length", "did you mean maxLength?"),
        ({"$defs": {"a": {"minimun": 3}}}, "$defs.a.minimun", "did you mean minimum?"),
        ({"anyOf": [{"itmes": {}}]}, "anyOf.0.itmes", "did you mean items?"),
        ({"type": "objct"}, "type", "did you mean object?"),
        ({"properties": {"a": {"items": {"type": "int"}}}}, "properties.a.items.type", "allowed: array, boolean"),
        (
            {"required": ["txt"], "properties": {"text": {}}, "additionalProperties": False},
            "required.0",
            "did you mean text?",
        ),
        (
            {"properties": {"a": {"required": ["b"], "additionalProperties": False}}},
            "properties.a.required.0",
            "nothing is allowed here",
        ),
        ({"$ref": "#/$defs/wrod", "$defs": {"word": {}}}, "$ref", "did you mean word?"),
    ],
)
def test_what_would_check_nothing_or_everything_is_refused_with_the_nearest_right_name(schema, place, hint):
    found = told(schema)
    assert list(found) == [place] and hint in found[place]


def test_all_faults_are_found_in_one_round():
    schema = {
        "type": "strng",
        "requried": [],
        "properties": {
            "a": {"type": "x", "pattern": "(?=a)"},
            "b": {"minimum": "3", "patternProperties": {"(": {}}},
            "c": {"$ref": "https://example.com/x"},
            "d": {"enum": 5},
        },
    }
    assert set(told(schema)) == {
        *("type", "requried", "properties.a.type", "properties.a.pattern", "properties.b.minimum"),
        *("properties.b.patternProperties.(", "properties.c.$ref", "properties.d.enum"),
    }


def test_faults_are_bounded_in_number():
    assert len(told({"properties": {f"a{number}": {"typ": 1} for number in range(1000)}})) == MOST_FAULTS


def nested(keyword, value, depth, **more):
    schema = value
    for _ in range(depth):
        schema = {keyword: schema}
    return schema | more


@pytest.mark.parametrize(
    "schema",
    [
        nested("items", {"type": "x"}, 90),
        nested("items", {"type": "x"}, 90, **{"$schema": OLDER}),
        nested("not", {"type": "x"}, 90, **{"$schema": OLDER}),
        {"$schema": OLDER, "allOf": [nested("items", {"type": "x"}, 40)] * 40},
        {"$defs": {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 9} for n in range(30)} | {"a30": False}, "$ref": "#/$defs/a0"},
        {"anyOf": [{"type": "array"}] * 5000},
        {"allOf": [{"anyOf": [{"required": [f"a{n}"]}, {"required": [f"b{n}"]}]} for n in range(300)]},
        {"enum": [["x"]] * 10_000},
    ],
    ids=["items", "items of draft 7", "not of draft 7", "many of draft 7", "references", "branches", "products", "values"],
)  # fmt: skip
def test_no_schema_takes_long(schema):
    begin = time.process_time()
    schema_errors(schema)
    assert time.process_time() - begin < 1


def test_members_of_a_wrong_form_and_references_into_values_are_no_crash():
    closed = {"type": "object", "additionalProperties": False, "required": 5, "properties": {"a": {"type": "integer"}}}
    assert schema_errors(closed)
    assert resolve({"title": "text"}, "/title/deeper") is None
