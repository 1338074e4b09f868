"""Fields of the command line, typed by a schema."""

from __future__ import annotations

from typing import Any

import click
import pytest
from taskpost.cli.fields import parse_fields, parse_json

SCHEMA = {
    "properties": {
        "n": {"type": "integer"},
        "x": {"type": "number"},
        "list": {"type": "boolean"},
        "name": {"type": "string"},
        "items": {"type": "array"},
        "options": {"type": "object"},
        "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "either": {"type": ["integer", "string"]},
        "mode": {"enum": ["fast", "slow"]},
        "level": {"enum": [1, 2]},
        "always": {"const": True},
        "color": {"$ref": "#/$defs/Color"},
        "elsewhere": {"$ref": "https://example.com/schema"},
        "anything": True,
        "term": {"$ref": "#/$defs/Term"},
        "whole": {"anyOf": [{"$ref": "#"}, {"type": "integer"}]},
    },
    "$defs": {
        "Color": {"oneOf": [{"type": "boolean"}, {"allOf": [{"type": "number"}]}]},
        "Term": {"anyOf": [{"type": "number"}, {"$ref": "#/$defs/Term"}, {"oneOf": [{"$ref": "#/$defs/Term"}] * 3}]},
    },
}


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("n=10", 10),
        ("n=-10", -10),
        ("n=10.0", 10.0),
        (f"n={2**80}", 2**80),
        ("x=1.5", 1.5),
        ("x=1e3", 1000.0),
        ("x=2", 2),
        ("list=true", True),
        ("list=false", False),
        ("name=10", "10"),
        ("name=", ""),
        ("name=a=b:=c", "a=b:=c"),
        ('name="quoted"', '"quoted"'),
        ("items=[1, 2]", [1, 2]),
        ('options={"a": null}', {"a": None}),
        ("maybe=3", 3),
        ("maybe=null", None),
        ("either=3", 3),
        ("either=three", "three"),
        ("mode=fast", "fast"),
        ("level=2", 2),
        ("always=true", True),
        ("color=1.5", 1.5),
        ("color=true", True),
        ("elsewhere=1", "1"),
        ("anything=1", "1"),
        ("term=1.5", 1.5),
        ("whole=1", 1),
        ("unknown=1", "1"),
        ("n:=[1]", [1]),
        ('name:="text"', "text"),
        ("name:=null", None),
    ],
)
def test_a_value_is_typed_by_its_schema(argument: str, value: Any) -> None:
    (found,) = parse_fields([argument], lambda: SCHEMA).values()

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("n=ten", "n=ten: expected an integer."),
        ("n=10.5", "n=10.5: expected an integer."),
        ("n=true", "n=true: expected an integer."),
        ("n=", "n=: expected an integer."),
        ("n=" + "1" * 5000, "expected an integer."),
        ("x=NaN", "x=NaN: expected a number."),
        ("x=1e999", "x=1e999: expected a number."),
        ("list=yes", "list=yes: expected true or false."),
        ("items={}", "items={}: expected a JSON array."),
        ("options=[]", "options=[]: expected a JSON object."),
        ("maybe=x", "maybe=x: expected an integer or null."),
        ("color=x", "color=x: expected a number or true or false."),
        ("n:=ten", "n:= is not valid JSON: Expecting value: line 1 column 1 (char 0)."),
        ("n:=NaN", "n:= is not valid JSON: NaN is not a JSON number."),
        ('n:={"a":1,"a":2}', "n:= is not valid JSON: an object has the same key twice."),
        ("plain", "'plain' is not a field: write key=value, or key:=JSON."),
        ("=1", "'=1' is not a field"),
        (":=1", "':=1' is not a field"),
    ],
)
def test_what_does_not_fit_is_named_with_what_was_expected(argument: str, expected: str) -> None:
    with pytest.raises(click.UsageError) as raised:
        parse_fields([argument], lambda: SCHEMA)

    assert expected in raised.value.message


def test_a_field_stands_once() -> None:
    with pytest.raises(click.UsageError, match="The field 'n' is given twice"):
        parse_fields(["n=1", "n:=2"], lambda: SCHEMA)


def test_the_schema_is_asked_for_once_and_only_if_needed() -> None:
    asked: list[None] = []

    def schema() -> dict[str, Any]:
        asked.append(None)
        return {}

    assert parse_fields(["a:=1"], schema) == {"a": 1}
    assert asked == []
    assert parse_fields(["a=1", "b=2"], schema) == {"a": "1", "b": "2"}
    assert len(asked) == 1


@pytest.mark.parametrize("text", [b"\xff", b"[" * 100_000, b"", b"1e400"])
def test_bad_json_is_a_usage_error(text: bytes) -> None:
    with pytest.raises(click.UsageError, match="--input is not valid JSON"):
        parse_json(text, "--input")


def test_a_byte_order_mark_is_no_harm() -> None:
    assert parse_json(b"\xef\xbb\xbf[]", "--input") == []
