"""No byte of a body costs much more than any other: the CPU time of hostile bodies beside that of ordinary ones."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from api.web.problems import Problem, respond
from api.web.request_body import MAX_BODY_BYTES
from api.web.submission import Intake
from runner.delivery.guard import Policy
from tests.support.web import TYPES, VALID

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.alone
INTAKE = Intake(lambda: TYPES, Policy(allow_loopback=False))
SIZE = MAX_BODY_BYTES - 200
MOST_TIMES = 5
"""What a hostile body may cost, in ordinary bodies of its size. Without a bound some cost 8 to 80."""


def body(value: bytes, task_type: bytes = b"anything") -> bytes:
    return b'{"task_type":"%s","result_url":null,"task_input":{"n":%s}}' % (task_type, value)


def many(item: bytes) -> bytes:
    return b"[" + b",".join([item] * (SIZE // (len(item) + 1))) + b"]"


def members(name: Callable[[int], bytes]) -> bytes:
    return b"{" + b",".join(b'"%s":1' % name(number) for number in range(SIZE // 12)) + b"}"


BODIES = {
    "floats of 309 digits": body(many(b"1e308")),
    "floats that are almost nothing": body(many(b"1e-308")),
    "floats of many digits": body(many(b"0." + b"1" * 5000)),
    "floats between two doubles": body(many(b"9007199254740993." + b"0" * 760 + b"1")),
    "negative zeros": body(many(b"-0.0")),
    "digits": body(many(b"1")),
    "integers of 4300 digits": body(many(b"9" * 4300)),
    "integers of 4301 digits": body(many(b"9" * 4301)),
    "one integer": body(b"9" * SIZE),
    "infinities": body(many(b"1e400")),
    "not numbers": body(many(b"NaN")),
    "empty objects": body(many(b"{}")),
    "empty lists": body(many(b"[]")),
    "lists in lists": body(many(b"[" * 97 + b"]" * 97)),
    "objects in objects": body(many(b'{"a":' * 97 + b"1" + b"}" * 97)),
    "too deep": body(b"[" * SIZE),
    "deep and open": body(many(b'{"a":[1,')),
    "escapes": body(b'"' + b"\\u0041" * (SIZE // 6) + b'"'),
    "backslashes": (b'"\\' * SIZE)[:SIZE],
    "quotes": b'"' * SIZE,
    "pairs of surrogates": body(b'"' + b"\\ud83d\\ude00" * (SIZE // 12) + b'"'),
    "lone surrogates": body(many(b'"\\ud800"')),
    "one name": body(members(lambda _: b"a")),
    "names": body(members(lambda number: b"%x" % number)),
    "names twice": body(members(lambda number: b"%x" % (number // 2))),
    "unknown members": b'{"task_type":"anything","result_url":null,' + members(lambda number: b"%x" % number)[1:],
    "a long name": b'{"task_type":"anything","result_url":null,"' + b"/~" * (SIZE // 2) + b'":1}',
    "a long type": b'{"task_type":"' + b"a" * SIZE + b'","result_url":null}',
    "a long URL": b'{"task_type":"anything","result_url":"http://' + "ü.".encode() * (SIZE // 3) + b'"}',
    "a URL of brackets": b'{"task_type":"anything","result_url":"http://' + b"[" * SIZE + b'"}',
    "input of a wrong type": body(many(b'{"a":1}'), b"fibonacci"),
    "a long text of a wrong type": body(b'"' + b"a" * SIZE + b'"', b"fibonacci"),
    "unknown members of the input": b'{"task_type":"fibonacci","result_url":null,"task_input":'
    + members(lambda number: b"%x" % number)
    + b"}",
    "a priority of many": b'{"task_type":"anything","result_url":null,"priority":' + many(b"1") + b"}",
    "white space": b"\n" * SIZE + b"x",
    "an error at the end": body(many(b"1"))[:-1] + b"x",
}


def seconds(raw: bytes) -> float:
    """The CPU time that it takes to read a body and to make the answer: the less of three, since others are at work."""
    traced = sys.gettrace()  # by coverage, which makes our code several times as slow, and that of libraries not at all
    sys.settrace(None)
    try:
        return min(_seconds(raw) for _ in range(3))
    finally:
        sys.settrace(traced)


def _seconds(raw: bytes) -> float:
    begin = time.process_time()
    try:
        INTAKE.read(raw, "key")
    except Problem as problem:
        respond(problem)
    return time.process_time() - begin


@pytest.fixture(scope="module")
def ordinary() -> float:
    return seconds(body(many(b'{"name":"abcdef","value":12345}')))


@pytest.mark.parametrize("name", BODIES)
def test_the_work_for_each_byte_has_a_bound(name: str, ordinary: float) -> None:
    assert seconds(BODIES[name]) < MOST_TIMES * ordinary


def digest(value: str) -> str:
    return INTAKE.read(body(value.encode()), "key").digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.0", "1"),
        ("-0.0", "0"),
        ("1e2", "100"),
        ("1e22", str(10**22)),
        ("1e308", str(int(1e308))),
        (str(2**60), str(float(2**60))),
        ('{"a":1,"b":[2.0]}', '{"b" : [2],\n"a":1e0}'),
        ('"\\u0041"', '"A"'),
    ],
)
def test_two_ways_to_write_a_value_have_one_digest(one: str, other: str) -> None:
    assert digest(one) == digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (str(2**53), str(2**53 + 1)),
        ("1e308", str(10**308)),
        (str(10**400), str(10**400 + 1)),
        ("1.5", "1"),
        ("1", '"1"'),
        ("1", "true"),
        ("[1,2]", "[2,1]"),
    ],
)
def test_two_values_have_two_digests(one: str, other: str) -> None:
    assert digest(one) != digest(other)


def test_the_garbage_collector_is_back_after_a_refusal() -> None:
    import gc

    for raw in (b"{", json.dumps(VALID).encode(), body(b"[1e400]")):
        with suppress(Problem):
            INTAKE.read(raw, "key")
        assert gc.isenabled()
