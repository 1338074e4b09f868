"""How long a delivery attempt may take: longer for a large body, as long as its bytes move. Pure."""

from __future__ import annotations

from typing import Final

MIN_BYTES_PER_SECOND: Final = 64 * 1024
"""The least rate at which a body must be taken: a slower receiver, or a slower line, is given up."""
UNSEEN_BYTES: Final = 1024 * 1024
"""How much of a body may be in buffers on its way: taken from us, not yet read by the receiver."""


def longest_seconds(timeout_seconds: float, body_bytes: int) -> float:
    """Return the longest time that a delivery attempt with a body of this size can take.

    `timeout_seconds` is what an attempt with no body may take. A lease of the delivery must be longer than this.
    """
    return timeout_seconds + (body_bytes + min(body_bytes, UNSEEN_BYTES)) / MIN_BYTES_PER_SECOND


def allowed_seconds(timeout_seconds: float, sent_bytes: int, last_sent_seconds: float) -> float:
    """Return when a delivery attempt must end, in seconds since its start.

    `sent_bytes` are gone so far, the last of them `last_sent_seconds` after the start. The bytes sent buy time, and
    silence after them ends the attempt: a receiver that takes one byte a second does not hold it for long, nor does one
    that takes everything and never answers.
    """
    unseen_seconds = min(sent_bytes, UNSEEN_BYTES) / MIN_BYTES_PER_SECOND
    return min(longest_seconds(timeout_seconds, sent_bytes), last_sent_seconds + timeout_seconds + unseen_seconds)
