"""The task type `fibonacci`."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ConfigDict, Field

from runner.tasks import Progress, task_type
from runner.tasks.inputs import Integer, TaskInput

EXAMPLE: Final[dict[str, Any]] = {"n": 100}
"""It is also the input of a task that is submitted without one."""

_COMPUTING_PERCENT: Final = 17.0
"""The share of computing in the time for a large n. The rest is the way from binary to decimal, a single call."""
_COST_RATIO: Final = 2.2
"""How many times as long as the doubling before it a doubling takes."""


class FibonacciInput(TaskInput):
    """Which number is wanted: F(0) is 0, F(1) is 1."""

    model_config = ConfigDict(json_schema_extra={"default": EXAMPLE})

    n: Integer = Field(ge=0, le=10_000_000, description="The index of the number")


@task_type("fibonacci", example=EXAMPLE)
def fibonacci(task_input: FibonacciInput, progress: Progress) -> dict[str, Any]:
    """Compute the n-th Fibonacci number, exactly, as a decimal string.

    Returns `n`, the number of `digits`, and the `value`.
    """
    text = _number(task_input.n, progress).digits()  # not str(int(...)), which ends at 4300 digits
    return {"n": task_input.n, "digits": len(text), "value": text}


def _number(n: int, progress: Progress) -> Any:  # noqa: ANN401 - an mpz, and gmpy2 has no types
    """Return F(n) by fast doubling: two squarings for each bit of n, one product for the last."""
    # The service imports this module for its input model, and never computes.
    from gmpy2 import mpz  # type: ignore[import-untyped]  # noqa: PLC0415

    if n < 2:  # noqa: PLR2004 - F(0) and F(1) are what the doubling starts from
        return mpz(n)
    k, this, before = 1, mpz(1), mpz(0)  # F(k) and F(k-1)
    bits = format(n, "b")[1:]
    for left, bit in zip(range(len(bits) - 1, 0, -1), bits, strict=False):
        square, square_before = this * this, before * before
        below = square + square_before  # F(2k-1)
        above = 4 * square - square_before + _twice_sign(k)  # F(2k+1)
        k, this, before = (2 * k + 1, above, above - below) if bit == "1" else (2 * k, above - below, below)
        progress(_COMPUTING_PERCENT * _COST_RATIO**-left)
    if bits[-1] == "1":
        return (2 * this + before) * (2 * this - before) + _twice_sign(k)
    return this * (this + 2 * before)


def _twice_sign(k: int) -> int:
    return -2 if k % 2 else 2
