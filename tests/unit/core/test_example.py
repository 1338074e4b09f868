"""Examples of inputs: the first that fits, of what an author gave and of what the schema tells."""

from __future__ import annotations

import pytest

from api.core.example import example_of

TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}


def with_text(**more):
    return TEXT | {"properties": {"text": {"type": "string"} | more}}


@pytest.mark.parametrize(
    ("schema", "preferred", "example"),
    [
        (TEXT, [{"text": "a"}], {"text": "a"}),
        (TEXT, [None, {"text": "b"}], {"text": "b"}),
        (TEXT, [{"text": 1}, {"text": "b"}], {"text": "b"}),
        (TEXT, [], {}),
        (TEXT | {"examples": [{"text": 1}, {"text": "c"}]}, [], {"text": "c"}),
        (TEXT | {"default": {"text": "d"}}, [], {"text": "d"}),
        (with_text(default="e"), [], {"text": "e"}),
        (with_text(examples=["f", "g"]), [], {"text": "f"}),
        (with_text(enum=["h"]), [], {"text": "h"}),
        (with_text(const="i"), [{}], {"text": "i"}),
        (with_text(default=1), [], {}),
        ({"required": ["a"]}, [], {}),
        ({}, [], {}),
        ({"type": "nonsense"}, [{"a": 1}], {}),
    ],
)
def test_the_first_that_fits(schema, preferred, example):
    assert example_of(schema, *preferred) == example


@pytest.mark.parametrize("wrong", [{"required": 5}, {"required": ["a"], "properties": 5}])
def test_a_schema_of_a_wrong_form_has_an_empty_example(wrong):
    assert example_of({"type": "object", **wrong}) == {}
