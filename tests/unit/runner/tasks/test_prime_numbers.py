"""The task type prime_numbers: the right primes for every limit, also around the borders of its segments."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from runner.tasks import Progress
from runner.tasks.prime_numbers import (
    MAX_LIMIT,
    MAX_LIMIT_WITH_LIST,
    SEGMENT_LENGTH,
    PrimeNumbersInput,
    odd_primes,
    prime_numbers,
)

SECOND_SEGMENT = 3 + 2 * SEGMENT_LENGTH
THIRD_SEGMENT = 3 + 4 * SEGMENT_LENGTH


def _ignore(percent: float) -> None:
    pass


def _run(limit: int, **options: bool) -> dict[str, object]:
    return prime_numbers(PrimeNumbersInput(limit=limit, **options), Progress(_ignore))


@cache
def _naive_sieve() -> bytearray:
    length = THIRD_SEGMENT + 100
    flags = bytearray(b"\0\0") + bytearray(b"\1") * (length - 2)
    for number in range(2, int(length**0.5) + 1):
        if flags[number]:
            flags[number * number :: number] = bytes(len(range(number * number, length, number)))
    return flags


@pytest.mark.parametrize(
    ("exponent", "count"),
    [*enumerate([0, 4, 25, 168, 1_229, 9_592, 78_498, 664_579, 5_761_455])],
)
def test_counts_as_in_the_books(exponent: int, count: int) -> None:
    assert _run(10**exponent)["count"] == count


@pytest.mark.parametrize(
    ("limit", "primes"),
    [
        (0, []),
        (1, []),
        (2, [2]),
        (3, [2, 3]),
        (4, [2, 3]),
        (9, [2, 3, 5, 7]),
        (30, [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]),
    ],
)
def test_small_limits(limit: int, primes: list[int]) -> None:
    short = {"limit": limit, "count": len(primes), "largest": primes[-1] if primes else None}
    assert _run(limit) == _run(limit, list=False) == short
    assert _run(limit, list=True) == short | {"primes": primes}


@settings(max_examples=50)
@given(
    st.integers(0, 3_000)
    | st.integers(SECOND_SEGMENT - 50, SECOND_SEGMENT + 50)
    | st.integers(THIRD_SEGMENT - 50, THIRD_SEGMENT + 50)
)
def test_agrees_with_a_naive_sieve_also_at_the_borders(limit: int) -> None:
    naive = _naive_sieve()
    largest = naive.rfind(1, 0, limit + 1)
    assert _run(limit) == {
        "limit": limit,
        "count": naive.count(1, 0, limit + 1),
        "largest": None if largest < 0 else largest,
    }


def test_a_last_segment_without_primes_keeps_the_largest() -> None:
    *_, (numbers, flags) = odd_primes(SECOND_SEGMENT)
    assert (list(numbers), flags) == ([SECOND_SEGMENT], b"\0")
    assert _run(SECOND_SEGMENT)["largest"] == _naive_sieve().rfind(1, 0, SECOND_SEGMENT)


def test_a_list_over_several_segments() -> None:
    limit = THIRD_SEGMENT + 10
    naive = _naive_sieve()
    assert _run(limit, list=True)["primes"] == [number for number in range(limit + 1) if naive[number]]


def test_progress_goes_by_the_numbers_sieved() -> None:
    percents: list[float] = []
    prime_numbers(PrimeNumbersInput(limit=4 * SECOND_SEGMENT), percents.append)  # type: ignore[arg-type]
    assert percents == pytest.approx([25, 50, 75, 100, 100], abs=0.01)
    assert percents == sorted(percents)
    assert percents[-1] <= 100


def test_memory_does_not_grow_with_the_limit() -> None:
    numbers, flags = next(odd_primes(MAX_LIMIT))
    assert (len(numbers), len(flags)) == (SEGMENT_LENGTH, SEGMENT_LENGTH)


def test_a_list_has_a_lower_limit() -> None:
    assert PrimeNumbersInput(limit=MAX_LIMIT_WITH_LIST, list=True).list
    assert PrimeNumbersInput(limit=MAX_LIMIT_WITH_LIST + 1).limit == MAX_LIMIT_WITH_LIST + 1
    with pytest.raises(ValidationError, match="with a list, limit may be 10000000 at most"):
        PrimeNumbersInput(limit=MAX_LIMIT_WITH_LIST + 1, list=True)
