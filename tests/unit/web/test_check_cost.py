"""Which inputs are checked in another process, because their check could hold the event loop."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.core.input_schema import compile_schema
from api.web.check_cost import PATTERN_SIZES, cost_of
from tests.support.web import TYPES

SIZE = 1024 * 1024


def member(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"e": schema}}


def text(value: Any) -> bytes:
    return json.dumps({"e": value}, separators=(",", ":")).encode()


COSTLY = {
    "integers beyond 64 bits that differ": ({"uniqueItems": True}, [10**30 + number for number in range(2000)]),
    "the same, nested": ({"items": {"uniqueItems": True}}, [[[-(10**19) - number] for number in range(2000)]]),
    "many branches": ({"items": {"anyOf": [{"const": number} for number in range(20)]}}, [19] * 250_000),
    "floats to choose from": ({"items": {"enum": [number / 2 for number in range(1000)]}}, [499.5] * 10_000),
    "values of several kinds": ({"items": {"enum": [*map(str, range(500)), None]}}, [None] * 10_000),
    "objects to choose from": ({"items": {"enum": [{"a": number} for number in range(1000)]}}, [{"a": 1}] * 10_000),
    "long integers to choose from": ({"items": {"enum": [10**30 + n for n in range(1000)]}}, [10**30] * 1000),
    "a large pattern": ({"pattern": "[ab]*a[ab]{5000}x"}, "abba" * 8000),
    "a pattern and a long text": ({"pattern": "[ab]*a[ab]{20}x"}, "abba" * (SIZE // 4)),
    "a pattern of names": ({"patternProperties": {"[ab]*a[ab]{500}x": {}}}, {"abba" * 8000: 1}),
    "names that depend": (
        {"items": {"dependentRequired": {f"p{number}": ["a"] for number in range(500)}}},
        [{}] * 9000,
    ),
    "decimal fractions": ({"items": {"multipleOf": 0.01}}, [19.25] * 170_000),
    "a recursive schema": ({"anyOf": [{"items": {"$ref": "#/properties/e"}}, {"type": "number"}]}, [[]] * 340_000),
}
ORDINARY = {
    "numbers": ({"items": {"type": "integer"}}, [1] * 500_000),
    "a long text": ({"type": "string", "minLength": 1}, "x, {y} [z] " * 90_000),
    "different integers": ({"uniqueItems": True}, list(range(140_000))),
    "different names": ({"uniqueItems": True}, [f"name {number}" for number in range(60_000)]),
    "names to choose from": ({"items": {"enum": [f"v{number}" for number in range(10_000)]}}, ["v9999"] * 100_000),
    "a few long integers": ({"uniqueItems": True}, [10**30 + number for number in range(100)]),
    "a pattern": ({"items": {"pattern": "^[a-z0-9-]{1,63}$"}}, ["a-name"] * 2000),
    "objects of two kinds": ({"items": {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}}, [{"a": 1}] * 30_000),
}


@pytest.mark.parametrize("name", COSTLY)
def test_input_that_may_take_long_is_known_by_schema_and_size(name: str) -> None:
    schema, value = COSTLY[name]
    assert cost_of(member(schema)).is_high(text(value))


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_input_is_checked_where_it_was_read(name: str) -> None:
    schema, value = ORDINARY[name]
    assert not cost_of(member(schema)).is_high(text(value))


@pytest.mark.parametrize("name", TYPES)
def test_no_input_of_plain_schemas_costs_much(name: str) -> None:
    assert not cost_of(TYPES[name].input_schema).is_high(b"[" * SIZE)


@pytest.mark.alone
@pytest.mark.parametrize("name", ORDINARY)
def test_check_of_ordinary_input_is_short(name: str) -> None:
    schema, value = ORDINARY[name]
    validator = compile_schema(member(schema))
    begin = time.process_time()
    validator.is_valid({"e": value})
    assert time.process_time() - begin < 0.2


def test_pattern_that_is_too_large_for_every_size_counts_as_the_largest() -> None:
    assert cost_of({"pattern": "(?:\\w{1000}){1000}"}).pattern_bytes == PATTERN_SIZES[-1]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["enum", "pattern", "anyOf", "items", "not"]), inner)
        ),
    )
)
def test_no_schema_has_no_cost(schema: Any) -> None:
    document = {"$defs": schema, "allOf": [schema], "enum": schema, "pattern": schema, "dependentRequired": schema}
    assert cost_of(document).comparisons >= 0
