"""When a delivery that failed is tried again: a pure function of the tries so far."""

from __future__ import annotations

from typing import Final

DELAYS_SECONDS: Final = (5, 30, 120, 600, 1800, 7200, 18_000, 36_000, 50_400, 86_400)
"""The pause after each failed try; when they are used up, in three days, the delivery is dead."""
JITTER: Final = 0.1


def next_delay_seconds(attempts: int, chance: float) -> float | None:
    """Return the pause after `attempts` failed tries, or None when it is to be given up.

    `chance` in 0..1 spreads the pause by a tenth each way: tries that failed together do not come back together.
    """
    if attempts > len(DELAYS_SECONDS):
        return None
    return DELAYS_SECONDS[attempts - 1] * (1 + JITTER * (2 * chance - 1))
