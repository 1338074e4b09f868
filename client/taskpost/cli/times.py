"""Times and spans of time for people: with their zone, or relative to now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
YEAR: Final = 365 * DAY
_UNITS: Final = ((DAY, "d", HOUR, "h"), (HOUR, "h", MINUTE, "m"), (MINUTE, "m", 1, "s"))
_TEN: Final = 10
MOST_DAYS: Final = 10_000


def clock(moment: datetime | None) -> str:
    """Return a time as the user's clock shows it, with the zone: `redeliver --from` reads it back."""
    return "-" if moment is None else moment.astimezone().isoformat(" ", "seconds")


def age(moment: datetime | None, now: datetime | None = None) -> str:
    """Return how long ago something was, in at most five characters."""
    if moment is None:
        return "-"
    return span(int(max(((now or datetime.now(UTC)) - moment).total_seconds(), 0)))


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """Return how far a time is from now, to put after it, with a space before it."""
    if moment is None:
        return ""
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    return f" (in {span(int(-seconds))})" if seconds < -1 else f" ({age(moment, now)} ago)"


def seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    """Return the seconds from one time to another, None if one of them is not known."""
    return None if start is None or end is None else max((end - start).total_seconds(), 0.0)


def span(seconds: float) -> str:
    """Return a span of time in at most five characters: 0.2s, 42s, 3m12s, 5h, 12d."""
    if isinstance(seconds, float) and seconds < _TEN:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole >= MOST_DAYS * DAY:
        return f"{whole // YEAR}y"
    for size, unit, small_size, small_unit in _UNITS:
        if whole >= size:
            number, rest = whole // size, whole % size // small_size
            return f"{number}{unit}{rest}{small_unit}" if number < _TEN and rest else f"{number}{unit}"
    return f"{whole}s"


def long_span(seconds: float) -> str:
    """Return a span of time, exact if it is short: 0.250 s, 3m12s."""
    return f"{seconds:.3f} s" if seconds < _TEN else span(seconds)
