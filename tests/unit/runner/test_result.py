"""Results as JSON: exact, portable, or refused with a reason."""

from __future__ import annotations

import datetime as dt
import json
import sys
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import ClassVar
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, RootModel, model_serializer
from pydantic.dataclasses import dataclass as pydantic_dataclass

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


class Person(BaseModel):
    name: str
    born: dt.date
    friends: list[Person] = []
    height: float = 1.8
    number: int = 2**53 + 1


class Fahrenheit(BaseModel):
    degrees: float

    @model_serializer
    def _text(self) -> str:
        return f"{self.degrees:g} F"


@dataclass(slots=True)
class Trip:
    who: Person
    at: dt.datetime
    KIND: ClassVar[str] = "trip"


@pydantic_dataclass
class Stay:
    nights: dt.timedelta


class Size(Enum):
    SMALL = "s"
    PAIR = (1, dt.date(2024, 1, 2))


ADA = Person(name="Ada", born=dt.date(1815, 12, 10))
ADA_JSON = {"name": "Ada", "born": "1815-12-10", "friends": [], "height": 1.8, "number": "9007199254740993"}
NOON = dt.datetime(2024, 1, 2, 12, 0, 0, 5, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (ADA, ADA_JSON),
        ([{"a": ADA}], [{"a": ADA_JSON}]),
        (ADA.model_copy(update={"friends": [ADA]}), ADA_JSON | {"friends": [ADA_JSON]}),
        (RootModel[list[int]]([1]), [1]),
        (Fahrenheit(degrees=451), "451 F"),
        (Trip(ADA, NOON), {"who": ADA_JSON, "at": "2024-01-02T12:00:00.000005Z"}),
        ((Stay(dt.timedelta(hours=36)),), [{"nights": "P1DT12H"}]),
        (NOON.replace(tzinfo=None), "2024-01-02T12:00:00.000005"),
        (NOON.astimezone(dt.timezone(dt.timedelta(hours=2))), "2024-01-02T14:00:00.000005+02:00"),
        (NOON.date(), "2024-01-02"),
        (dt.time(1, 2), "01:02:00"),
        (dt.timedelta(seconds=90), "PT1M30S"),
        (Decimal("1.50"), "1.50"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("/a/b"), "/a/b"),
        ([Size.SMALL, Size.PAIR], ["s", [1, "2024-01-02"]]),
    ],
)
def test_models_dataclasses_and_times_have_the_usual_form(value, plain):
    assert json.loads(encode_result(value, 10_000)) == plain


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (ADA.model_copy(update={"height": float("nan")}), "result['height'] is nan, which JSON cannot say"),
        ({"a": Trip(ADA, {1})}, "result['a']['at'] is a set, which JSON cannot say"),
        (Person, "result is a ModelMetaclass, which JSON cannot say"),
        (Trip, "result is a type, which JSON cannot say"),
        ({NOON: 1}, "result has the key datetime.datetime("),
        ({"a": Decimal("NaN")}, "result['a'] is nan, which JSON cannot say"),
        (Trip(ADA, Decimal("-Infinity")), "result['at'] is -inf, which JSON cannot say"),
        (Decimal("sNaN"), "The result cannot be read: ValueError"),
    ],
)
def test_what_is_in_them_is_refused_like_anything_else(value, message):
    with pytest.raises(ResultRefused) as refusal:
        encode_result(value, 10_000)
    assert refusal.value.code == "result_invalid"
    assert str(refusal.value).startswith(message)


def test_a_model_that_holds_itself_is_refused():
    loop = ADA.model_copy()
    loop.friends = [loop]
    with pytest.raises(ResultRefused, match=r"cannot be read|nested too deeply"):
        encode_result(loop, 10_000)


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
