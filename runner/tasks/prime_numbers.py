"""The task type `prime_numbers`."""

from __future__ import annotations

from itertools import compress
from math import isqrt
from typing import TYPE_CHECKING, Any, Final

from pydantic import ConfigDict, Field, model_validator

from runner.tasks import Progress, task_type
from runner.tasks.inputs import Integer, TaskInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

EXAMPLE: Final[dict[str, Any]] = {"limit": 100, "list": True}
"""It is also the input of a task that is submitted without one."""
MAX_LIMIT: Final = 10_000_000_000
MAX_LIMIT_WITH_LIST: Final = 10_000_000
"""Keeps the result within the 8 MiB that a result may have by default: 664,579 primes are 5.2 MB of JSON."""

SEGMENT_LENGTH: Final = 2 * 1024 * 1024
"""How many odd numbers are sieved at a time, one byte each: as many as a processor's nearer caches hold."""


class PrimeNumbersInput(TaskInput):
    """How far to look, and whether the primes themselves are wanted."""

    model_config = ConfigDict(
        json_schema_extra={
            "default": EXAMPLE,
            "if": {"properties": {"list": {"const": True}}, "required": ["list"]},
            "then": {"properties": {"limit": {"maximum": MAX_LIMIT_WITH_LIST}}},
        }
    )

    limit: Integer = Field(ge=0, le=MAX_LIMIT, description="The largest number looked at")
    list: bool = Field(default=False, description=f"List the primes too, for a limit up to {MAX_LIMIT_WITH_LIST}")

    @model_validator(mode="after")
    def _list_is_short(self) -> Self:
        if self.list and self.limit > MAX_LIMIT_WITH_LIST:
            raise ValueError(f"with a list, limit may be {MAX_LIMIT_WITH_LIST} at most")
        return self


@task_type("prime_numbers", example=EXAMPLE)
def prime_numbers(task_input: PrimeNumbersInput, progress: Progress) -> dict[str, Any]:
    """Count the prime numbers up to a limit, find the largest of them and, if wanted, list them.

    Returns the `limit`, the `count`, the `largest` (null if there is none) and with `list` the `primes`.
    """
    limit = task_input.limit
    primes = [2] if limit >= 2 else []  # noqa: PLR2004 - the only even prime, which the sieve leaves out
    count = len(primes)
    largest = max(primes, default=None)
    for numbers, flags in odd_primes(limit):
        count += flags.count(1)
        last = flags.rfind(1)
        if last >= 0:
            largest = numbers[last]
        if task_input.list:
            primes.extend(compress(numbers, flags))
        progress(100 * numbers[-1] / limit)
    result = {"limit": limit, "count": count, "largest": largest}
    return result | {"primes": primes} if task_input.list else result


def odd_primes(limit: int) -> Iterator[tuple[range, bytearray]]:
    """Yield the odd numbers from 3 to `limit` in runs, each run with a byte for each number: 1 for a prime, else 0."""
    if limit < 3:  # noqa: PLR2004 - the first odd prime
        return
    factors = [prime for numbers, flags in odd_primes(isqrt(limit)) for prime in compress(numbers, flags)]
    for first in range(3, limit + 1, 2 * SEGMENT_LENGTH):
        numbers = range(first, min(first + 2 * SEGMENT_LENGTH, limit + 1), 2)
        length = len(numbers)
        flags = bytearray(b"\1") * length
        for factor in factors:
            # Where factor * factor is, or if that was before this run, the first odd multiple in it.
            start = max((factor * factor - first) // 2, (factor - first) // 2 % factor)
            if start < length:
                flags[start::factor] = bytearray((length - start - 1) // factor + 1)
        yield numbers, flags
