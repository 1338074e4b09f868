"""Signatures of callbacks by Standard Webhooks 1.0.0 (https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from taskpost.errors import TaskpostError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KEY_PREFIX: Final = "whsec_"
LONGEST_TIMESTAMP: Final = 15


class SignatureInvalid(TaskpostError):  # noqa: N818 - it says what is wrong
    """A callback is not one of ours, or not unharmed, or too old. Do not act on it."""


def verify(
    headers: Mapping[str, str],
    body: bytes,
    keys: str | Iterable[str],
    *,
    now: datetime | None = None,
    tolerance_seconds: float = 300,
) -> None:
    """Return if a callback is signed with one of the keys, now.

    A callback may come more than once: `webhook-id` is the same then, so remember it.

    Args:
        headers: the request's headers, in any case.
        body: the request's body, byte for byte as it came.
        keys: one `whsec_...` key, or several while keys are exchanged.
        now: the present, if not the clock's.
        tolerance_seconds: how far the callback's time may be from the present.

    Raises:
        SignatureInvalid: with the reason.
        ValueError: a key is not one.
    """
    secrets = [_secret(key) for key in ([keys] if isinstance(keys, str) else keys)]
    if not secrets:
        raise ValueError("No key to verify the callback with was given.")
    present = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp, signatures = (
        _header(present, name) for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    )
    _check_time(timestamp, now or datetime.now(UTC), tolerance_seconds)
    signed = f"{message_id}.{timestamp}.".encode(errors="replace") + body
    expected = [b"v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)) for secret in secrets]
    found = [signature.encode(errors="replace") for signature in signatures.split()]
    # Every pair is compared, each in constant time: how long it takes tells nothing.
    if not any([hmac.compare_digest(one, other) for one in expected for other in found]):  # noqa: C419 - the list is why
        raise SignatureInvalid(
            "No signature in webhook-signature fits: another key signed it, or the body is not what was sent."
        )


def _secret(key: str) -> bytes:
    encoded = key.removeprefix(KEY_PREFIX)
    try:
        secret = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not secret or encoded == key:
        raise ValueError(f"A key looks like {KEY_PREFIX}<base64>; one of those given does not.")
    return secret


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise SignatureInvalid(f"The header {name} is missing.")
    return value


def _check_time(timestamp: str, now: datetime, tolerance_seconds: float) -> None:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= LONGEST_TIMESTAMP):
        raise SignatureInvalid(f"The header webhook-timestamp is {timestamp!r}, not a Unix time in seconds.")
    age_seconds = now.timestamp() - int(timestamp)
    if abs(age_seconds) > tolerance_seconds:
        where = "old" if age_seconds > 0 else "in the future"
        raise SignatureInvalid(
            f"The callback is {abs(age_seconds):.0f} s {where}; {tolerance_seconds:g} s are allowed."
        )
