"""Results as JSON: exact, portable, or refused with a reason."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.result import MAX_SAFE_INTEGER, ResultRefused, encode_result

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
