"""What a try makes of its delivery, and when the next one is due: pure functions of the tries so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runner.contract import DeliveryStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.delivery.post import Try

DELAYS_SECONDS: Final = (5.0, 30.0, 120.0, 600.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 86_400.0, 86_400.0)
"""The pause after each failed try, unless set otherwise, three days in all; when they are used up it is dead."""
JITTER: Final = 0.1
LONGEST_RETRY_AFTER_SECONDS: Final = 3600.0
GONE: Final = 410
"""The receiver wants no more tries: they end."""
ASKING_FOR_TIME: Final = frozenset({429, 503})
"""The answers whose Retry-After is heeded."""


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
    if delay_seconds is None or result.status == GONE:
        return DeliveryStatus.DEAD, 0
    asked_seconds = result.retry_after_seconds if result.status in ASKING_FOR_TIME else None
    return DeliveryStatus.PENDING, max(delay_seconds, min(asked_seconds or 0, LONGEST_RETRY_AFTER_SECONDS))
