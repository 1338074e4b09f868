"""What a try makes of its delivery, and when the next one is due: pure functions of the tries so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runner.contract import DeliveryStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.delivery.post import Try

DELAYS_SECONDS: Final = (5.0, 30.0, 120.0, 600.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 86_400.0)
"""The pause after each failed try, unless set otherwise; when they are used up the delivery is dead."""
JITTER: Final = 0.1


def next_delay_seconds(attempts: int, chance: float, delays_seconds: Sequence[float]) -> float | None:
    """Return the pause after `attempts` failed tries, or None when it is to be given up.

    `chance` in 0..1 spreads the pause by a tenth each way: tries that failed together do not come back together.
    """
    if attempts > len(delays_seconds):
        return None
    return delays_seconds[attempts - 1] * (1 + JITTER * (2 * chance - 1))


def judge(result: Try, attempts: int, chance: float, delays_seconds: Sequence[float]) -> tuple[DeliveryStatus, float]:
    """Return what a try, the `attempts`-th, makes of its delivery, and the seconds until the next one is due."""
    if result.delivered:
        return DeliveryStatus.DELIVERED, 0
    if result.blocked:
        return DeliveryStatus.BLOCKED, 0
    delay_seconds = next_delay_seconds(attempts, chance, delays_seconds)
    return (DeliveryStatus.DEAD, 0) if delay_seconds is None else (DeliveryStatus.PENDING, delay_seconds)
