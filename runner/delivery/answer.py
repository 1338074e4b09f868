"""What is kept of a receiver's answer, and when it wants to be asked again. Pure."""

from __future__ import annotations

from datetime import UTC
from typing import Final

MAX_READ_BYTES: Final = 64 * 1024
MAX_KEPT_BYTES: Final = 1024


def shown(body: bytes, encoding: str) -> str:
    """Return the beginning of an answer as text. What is encoded is not decoded: it could become anything in size."""
    if encoding.lower() not in {"", "identity"}:
        return f"({len(body)} bytes or more, encoded as {encoding[:40]})" if body else ""
    text = body[:MAX_KEPT_BYTES].decode("utf-8", "replace")
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode()[:MAX_KEPT_BYTES].decode("utf-8", "ignore")


def retry_after_seconds(value: str, now_seconds: float) -> float | None:
    """Return the seconds that a Retry-After header asks for, or None if it says nothing. RFC 9110, 10.2.3.

    `now_seconds` is Unix time.
    """
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:12])
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - few answers have a date, and each runner would pay

    try:
        until = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(0.0, (until if until.tzinfo else until.replace(tzinfo=UTC)).timestamp() - now_seconds)
