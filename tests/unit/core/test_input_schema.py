"""Which input schemas are taken: whatever is refused is refused with its place, and nothing is ever fetched."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from api.core.input_schema import InputSchemaError, compile_schema

DRAFT_7 = "http://json-schema.org/draft-07/schema#"
OUTSIDE = [
    ({"$ref": "http://127.0.0.1:9/x"}, "$ref"),
    ({"$ref": "https://example.com/x#/$defs/y"}, "$ref"),
    ({"$ref": "file:///etc/passwd"}, "$ref"),
    ({"$ref": "urn:example:x"}, "$ref"),
    ({"$ref": "other.json"}, "$ref"),
    ({"$ref": "%23/$defs/x", "$defs": {"x": True}}, "$ref"),
    ({"$ref": "//127.0.0.1/x"}, "$ref"),
    ({"$ref": "http://[/x"}, "$ref"),
    ({"$id": "http://h/b", "$ref": "http://[/x"}, "$ref"),
    ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, "$ref"),
    ({"properties": {"a": {"items": {"$ref": "http://h/x"}}}}, "properties.a.items.$ref"),
    ({"$defs": {"unused": {"$ref": "http://h/x"}}}, "$defs.unused.$ref"),
    ({"if": {"$ref": "http://h/x"}}, "if.$ref"),
    ({"anyOf": [True, {"$ref": "http://h/x"}]}, "anyOf.1.$ref"),
    ({"$dynamicRef": "http://h/x#a"}, "$dynamicRef"),
    ({"$recursiveRef": "http://h/x"}, "$recursiveRef"),
    ({"$schema": "https://json-schema.org/draft/2019-09/schema", "$recursiveRef": "http://h/x"}, "$recursiveRef"),
    ({"$id": "http://h/b", "$ref": "c"}, "$ref"),
    ({"$id": "file:///etc/", "$ref": "passwd"}, "$ref"),
    ({"$id": "http://h/b", "$defs": {"d": {"$id": "http://i/d", "$ref": "b"}}}, "$defs.d.$ref"),
    ({"$schema": "http://h/meta"}, "$schema"),
    ({"$schema": "nonsense"}, "$schema"),
    ({"$defs": {"x": {"$schema": "http://h/meta"}}}, "$defs.x.$schema"),
    ({"$schema": DRAFT_7, "definitions": {"x": {"$ref": "x.json"}}}, "definitions.x.$ref"),
    ({"$schema": DRAFT_7, "$id": "http://h/b", "$ref": "b#/definitions/c", "definitions": {"c": {}}}, "$ref"),
    ({"x-unknown": {"$ref": "http://h/x"}, "$ref": "#/x-unknown"}, "x-unknown.$ref"),
]


@pytest.mark.parametrize(("schema", "place"), OUTSIDE)
def test_no_reference_leaves_the_schema(monkeypatch: pytest.MonkeyPatch, schema: dict[str, Any], place: str) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("something was fetched")

    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(InputSchemaError) as caught:
        compile_schema(schema)
    assert str(caught.value).startswith(f"input_schema: at {place}: ")


def test_a_silent_server_is_never_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/schema"
        begin = time.monotonic()
        for schema in (
            {"$ref": url},
            {"$schema": url},
            {"$id": url, "$ref": "x"},
            {"$defs": {"x": {"$dynamicRef": url}}},
        ):
            with pytest.raises(InputSchemaError):
                compile_schema(schema)
        assert time.monotonic() - begin < 1
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"$ref": "#"},
        {"$ref": "#/$defs/a%20b", "$defs": {"a b": True}},
        {"$ref": "#here", "$defs": {"x": {"$anchor": "here"}}},
        {"$dynamicRef": "#here", "$defs": {"x": {"$dynamicAnchor": "here"}}},
        {"$id": "http://h/b", "$ref": "c", "$defs": {"c": {"$id": "c", "type": "string"}}},
        {"$id": "http://h/b", "$ref": "http://h/b#/$defs/c", "$defs": {"c": True}},
        {"$schema": DRAFT_7, "$id": "http://h/b", "allOf": [{"$ref": "b#/definitions/c"}], "definitions": {"c": {}}},
        {"$schema": "https://json-schema.org/draft/2020-12/schema"},
        {"properties": {"$ref": {"type": "string"}, "$schema": {"const": {"$ref": "http://h/x"}}}},
        {"enum": [{"$ref": "http://h/x"}], "default": {"$ref": "http://h/x"}, "examples": [{"$schema": "x"}]},
    ],
)
def test_references_within_the_schema(schema: dict[str, Any]) -> None:
    compile_schema(schema)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"properties": {"a": {"type": "nonsense"}}}, "input_schema: at properties.a.type: "),
        (
            {"properties": {"a": {"$ref": "#/$defs/no"}}},
            "input_schema: at properties.a.$ref: Pointer '/$defs/no' does not exist",
        ),
        ({"properties": {"a": {"$ref": "#no"}}}, "input_schema: at properties.a.$ref: Anchor 'no' does not exist"),
        ({"minLength": 1.5}, "input_schema: at minLength: "),
        ({1: True}, "input_schema: "),
        ({"pattern": "\ud800"}, "input_schema: "),
    ],
)
def test_what_is_no_schema_is_refused_with_its_place(schema: dict[str, Any], message: str) -> None:
    with pytest.raises(InputSchemaError) as caught:
        compile_schema(schema)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("pattern", [r"^(?=(a+)+$)", r"(a*)*\1b", r"(?<!a)b", "(.{0,1000}x){0,1000}", "("])
def test_a_pattern_is_matched_in_linear_time_or_refused(pattern: str) -> None:
    for schema, place in (
        ({"properties": {"a": {"pattern": pattern}}}, "properties.a.pattern"),
        ({"patternProperties": {pattern: True}}, f"patternProperties.{pattern}"),
    ):
        with pytest.raises(InputSchemaError) as caught:
            compile_schema(schema)
        assert str(caught.value).startswith(f"input_schema: at {place}: ")
        assert "linear time" in str(caught.value)


def test_patterns_that_others_match_slowly() -> None:
    compiled = compile_schema({"items": {"pattern": r"^(a+)+$|^(a|a)*$|^(\w+\s?)*$"}})
    begin = time.process_time()
    compiled.is_valid(["a" * 38 + "!"] * 25_000)
    compiled.is_valid(["a" * 1_000_000 + "!"])
    assert time.process_time() - begin < 1


def test_a_schema_that_is_nested_very_deeply() -> None:
    schema: dict[str, Any] = {}
    for _ in range(5000):
        schema = {"not": schema}
    with pytest.raises(InputSchemaError):
        compile_schema(schema)


BOUNDED = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0}}, "required": ["n"]}


@pytest.mark.parametrize("default", [{"n": 1}, {"n": 10.0}])
def test_a_default_that_fits(default):
    compile_schema(BOUNDED | {"default": default})


@pytest.mark.parametrize(
    ("default", "place", "reason"),
    [
        ({"n": -1}, ("default", "n"), "the schema refuses it: -1 is less than the minimum of 0"),
        ({}, ("default",), 'the schema refuses it: "n" is a required property'),
        (None, ("default",), 'the schema refuses it: null is not of type "object"'),
    ],
)
def test_a_default_that_its_own_schema_refuses(default, place, reason):
    with pytest.raises(InputSchemaError) as caught:
        compile_schema(BOUNDED | {"default": default})
    assert (caught.value.place, caught.value.reason) == (place, reason)


@pytest.mark.parametrize(
    "default", [{"n": float("nan")}, {"n": {1}}, "\ud800", pytest.param(10**5000, id="5001 digits")]
)
def test_a_default_that_is_not_json(default):
    with pytest.raises(InputSchemaError):
        compile_schema({"default": default})
