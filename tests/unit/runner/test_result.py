"""Results as JSON: exact, portable, or refused with a reason."""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.result import MAX_SAFE_INTEGER, ResultRefused, encode_result
from tests.support.hostile import READABLE, VALUES

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
)


@given(JSON)
def test_json_goes_through_unchanged(value):
    assert json.loads(encode_result(value, 10**6)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (MAX_SAFE_INTEGER, "9007199254740992"),
        (MAX_SAFE_INTEGER + 1, '"9007199254740993"'),
        (-MAX_SAFE_INTEGER - 1, '"-9007199254740993"'),
        ((1, (2,)), "[1,[2]]"),
        ({"ä": "\U0001f600"}, '{"ä":"\U0001f600"}'),
    ],
)
def test_what_other_readers_would_round_travels_as_text(value, text):
    assert encode_result(value, 100) == text


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        (float("nan"), "result_invalid", "result is nan, which JSON cannot say"),
        ([0, {"a": float("inf")}], "result_invalid", "result[1]['a'] is inf, which JSON cannot say"),
        ({1: 2}, "result_invalid", "result has the key 1; keys are strings in JSON"),
        ({"a": {1, 2}}, "result_invalid", "result['a'] is a set, which JSON cannot say"),
        ("\ud800", "result_invalid", "A string in the result is not Unicode text"),
        ("ä" * 50, "result_too_large", "The result has 102 bytes; at most 100 are delivered"),
    ],
)
def test_what_cannot_be_delivered_is_refused_with_its_place(value, code, message):
    with pytest.raises(ResultRefused) as refusal:
        encode_result(value, 100)
    assert (refusal.value.code, str(refusal.value)) == (code, message)


def test_a_result_that_holds_itself_is_refused():
    value = []
    value.append(value)
    with pytest.raises(ResultRefused, match="nested too deeply, or holds itself"):
        encode_result(value, 100)


@pytest.mark.parametrize("name", VALUES)
def test_a_hostile_result_is_refused_with_a_bounded_message(name):
    value, code, message = VALUES[name]
    with pytest.raises(ResultRefused) as refusal:
        encode_result(value, 10_000)
    assert refusal.value.code == code
    assert str(refusal.value).startswith(message) or message in str(refusal.value)
    assert len(str(refusal.value)) <= 2000
    str(refusal.value).encode()


@pytest.mark.parametrize("name", READABLE)
def test_of_subclasses_the_value_counts(name):
    value, plain = READABLE[name]
    assert json.loads(encode_result(value, 1000)) == plain


def test_depth_is_bounded_by_us_and_not_by_the_interpreter():
    value = 1
    for _ in range(400):
        value = [value]
    assert encode_result(value, 10_000) == "[" * 400 + "1" + "]" * 400
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    try:
        with pytest.raises(ResultRefused, match="nested too deeply"):
            encode_result([value], 10_000)
    finally:
        sys.setrecursionlimit(limit)
