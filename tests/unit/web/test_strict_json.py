"""Strict JSON: whatever it takes, `json.loads` understands alike; whatever it refuses, it says where."""

from __future__ import annotations

import json
import math
import sys
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.web.strict_json import InvalidJson, parse
from runner.contract import MAX_JSON_DEPTH

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
SCRAPS = st.lists(
    st.sampled_from(
        ["{", "}", "[", "]", ",", ":", '"', "\\", "\\u", "d800", "dc00", "0", "1", "-", ".", "e", "999", "NaN",
         "Infinity", "null", "true", '"a"', '"a":', " ", "\n", "\t", "\x00", "\ufeff", "é", "😀"]
    )
).map("".join)  # fmt: skip


def refused(text: str | bytes) -> InvalidJson:
    with pytest.raises(InvalidJson) as caught:
        parse(text.encode() if isinstance(text, str) else text)
    return caught.value


def pointers(text: str) -> list[str]:
    return [fault.pointer for fault in refused(text).faults]


@given(VALUES, st.booleans(), st.sampled_from([None, 2]))
def test_what_json_writes_is_read_back(value: object, ascii_only: Any, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert parse(text.encode()) == value


@given(SCRAPS)
def test_scraps_are_refused_or_mean_what_json_means(text: str) -> None:
    with suppress(InvalidJson):
        assert parse(text.encode()) == json.loads(text)


@given(st.binary())
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    with suppress(InvalidJson):
        parse(raw)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 4301, "-" + "9" * 4301])
def test_p02_p03_numbers_that_cannot_be_kept(text: str) -> None:
    assert pointers(f'{{"a": [0, {text}]}}') == ["/a/1"]


@pytest.mark.parametrize("text", [str(2**64), "-9223372036854775809", "9" * 4300, "-" + "9" * 4300])
def test_p02_integers_of_any_other_size_are_exact(text: str) -> None:
    assert parse(text.encode()) == int(text)


def test_p03_the_limit_holds_also_where_python_has_none() -> None:
    sys.set_int_max_str_digits(0)
    assert "4300 digits" in refused("9" * 4301).faults[0].detail


def test_numbers_keep_their_kind() -> None:
    assert [type(value) for value in parse(b"[1, 1.0, 1e3, -0]")] == [int, float, float, int]
    assert math.copysign(1, parse(b"-0.0")) == -1


@pytest.mark.parametrize("depth", [1, 50, MAX_JSON_DEPTH])
@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}")])
def test_p06_depth_within_the_limit(depth: int, begin: str, end: str) -> None:
    inner = begin * depth + ("1" if begin != "[" else "") + end * depth
    assert parse(f'{{"task_input": {inner}}}'.encode())


@pytest.mark.parametrize("depth", [MAX_JSON_DEPTH + 1, 1_000, 5_000, 20_000, 100_000])
@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}"), ("[", "")])
def test_p06_depth_beyond_the_limit(depth: int, begin: str, end: str) -> None:
    inner = begin * depth + ("1" if begin != "[" else "") + end * depth
    assert "100 levels" in refused(f'{{"task_input": {inner}}}').detail


def test_p06_brackets_in_texts_do_not_count() -> None:
    text = json.dumps({"a": ["[" * 500, '\\"{' * 500, "\\"]})
    assert parse(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    "raw", [b"[" * 2**20, b'"\\"' * 2**18, b'{"":[],' * 2**17, b"[]," * 2**18, b'"' + b"\\" * 2**20]
)
def test_p06_a_hostile_body_of_a_mebibyte_takes_no_time(raw: bytes) -> None:
    begin = time.process_time()
    refused(raw)
    assert time.process_time() - begin < 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1, "a": 2}', ["/a"]),
        ('{"a": {"b": 1, "b": 1, "c": [{"d/~": 0, "d/~": 0}]}}', ["/a/b", "/a/c/0/d~1~0"]),
        ('{"a": {"x": 1, "x": 2}, "a": 3}', ["/a"]),
        ('{"\\u0061": 1, "a": 2}', ["/a"]),
    ],
)
def test_p09_names_given_twice(text: str, found: list[str]) -> None:
    assert pointers(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": "\\ud800"}', ["/a"]),
        ('{"a": ["x\\uDFFFx"]}', ["/a/0"]),
        ('{"\\ud800": 1}', ["/\\ud800"]),
        ('{"\\ud800": 1, "\\ud800": 1}', ["/\\ud800", "/\\ud800"]),
        ('"\\udc00\\ud800"', [""]),
    ],
)
def test_lone_surrogates(text: str, found: list[str]) -> None:
    assert pointers(text) == found


@pytest.mark.parametrize("text", ['"\\ud83d\\ude00"', '"\\\\ud800"', '{"\\ud83d\\ude00": "\\u00e9"}', '"a\\u0000b"'])
def test_p09_other_escapes_are_fine(text: str) -> None:
    assert parse(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b"", "The body is empty."),
        (b" \r\n\t", "The body is empty."),
        (b"\x00", "line 1, column 1"),
        (b"a=1&b=2", "line 1, column 1"),
        (b"{} x", "line 1, column 4"),
        (b"{}{}", "Extra data"),
        (b'{"a": 1,\n "b": }', "line 2, column 7"),
        (b"{'a': 1}", "line 1, column 2"),
        (b'{"a": 1, "a": 2} x', "Extra data"),
        (b'{"a": 01}', "line 1"),
        (b'"\x01"', "line 1"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ("{}".encode("utf-16"), "UTF-8"),
        (b'{"a": "\xff"}', "byte 7"),
        (b'{"a": "\xed\xa0\x80"}', "UTF-8"),
    ],
)
def test_p09_what_is_no_json(raw: bytes, word: str) -> None:
    error = refused(raw)
    assert word in error.detail
    assert error.faults == ()


def test_an_answer_does_not_grow_with_what_was_sent() -> None:
    error = refused("[" + ",".join(["1e999"] * 10_000) + "]")
    assert len(error.faults) == 50
    name = "n" * 100_000
    [fault] = refused(f'{{"{name}": 1, "{name}": 2}}').faults
    assert len(fault.pointer) == 200
