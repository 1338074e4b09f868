"""Signatures of callbacks by Standard Webhooks 1.0.0 (https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from taskpost.arguments import checked_time, checked_tolerance
from taskpost.errors import TaskpostError

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_PREFIX: Final = "whsec_"
MIN_KEY_BYTES: Final = 24
LONGEST_TIMESTAMP: Final = 15
HEADERS: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")


class SignatureInvalid(TaskpostError):  # noqa: N818 - it says what is wrong
    """A request is not a callback of this Taskpost, was changed on its way, or is too old. Do not act on it."""


def verify(
    headers: Mapping[str, str],
    body: bytes,
    keys: str | Iterable[str],
    *,
    now: datetime | None = None,
    tolerance_seconds: float = 300,
) -> None:
    """Return if a request is a callback that was signed with one of the keys, just now.

    A callback may come more than once, with the same `webhook-id`: remember the ids.

    Args:
        headers: the request's headers, their names in any case.
        body: the request's body, byte for byte as it came.
        keys: one `whsec_...` key, or several while keys are exchanged.
        now: the present, if not the clock's; with a time zone.
        tolerance_seconds: how far the callback's time may be from the present.

    Raises:
        SignatureInvalid: it is not, whatever was sent; the message says why.
        ValueError: a key has another form, or none is given; or the tolerance or the present is of a wrong kind.
    """
    given = list(keys) if isinstance(keys, Iterable) and not isinstance(keys, (str, bytes)) else [keys]
    if not given:
        raise ValueError("No key to verify the callback with was given.")
    secrets = [_secret(key) for key in given]
    tolerance_seconds = checked_tolerance(tolerance_seconds)
    checked_time("now", now)
    message_id, timestamp, signatures = _signature_headers(headers)
    _check_time(timestamp, now or datetime.now(UTC), tolerance_seconds)
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise SignatureInvalid(f"The body is of type {type(body).__name__}: the bytes that came are needed.")
    signed = f"{message_id}.{timestamp}.".encode(errors="replace") + body
    expected = [b"v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)) for secret in secrets]
    found = [signature.encode(errors="replace") for signature in signatures.split()]
    # Every pair is compared, each in constant time: how long it takes tells nothing.
    if not any([hmac.compare_digest(one, other) for one in expected for other in found]):  # noqa: C419 - the list is why
        raise SignatureInvalid(
            "No signature in webhook-signature fits: another key signed it, or the body is not what was sent."
        )


def _secret(key: object) -> bytes:
    encoded = key.strip() if isinstance(key, str) else ""
    if encoded.startswith(KEY_PREFIX):
        encoded = encoded.removeprefix(KEY_PREFIX)
        with suppress(ValueError):
            secret = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
            if len(secret) >= MIN_KEY_BYTES:
                return secret
    raise ValueError(
        f"A key looks like {KEY_PREFIX}<base64>, with {MIN_KEY_BYTES} bytes at least; one of those given does not."
    )


def _signature_headers(headers: Mapping[str, str]) -> list[str]:
    """Return the values of our headers. One that comes twice is refused: others may read the one, and we the other."""
    found: dict[str, list[object]] = {name: [] for name in HEADERS}
    if headers and not hasattr(headers, "items"):
        raise SignatureInvalid(f"The headers are of type {type(headers).__name__}: a mapping is needed.")
    for name, value in (headers or {}).items():
        if isinstance(name, str) and name.lower() in found:
            found[name.lower()].append(value)
    return [_only(name, values) for name, values in found.items()]


def _only(name: str, values: list[object]) -> str:
    if not values or not values[0]:
        raise SignatureInvalid(f"The header {name} is missing.")
    if len(values) > 1 or not isinstance(values[0], str):
        raise SignatureInvalid(f"The header {name} is not one text.")
    return values[0]


def _check_time(timestamp: str, now: datetime, tolerance_seconds: float) -> None:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= LONGEST_TIMESTAMP):
        raise SignatureInvalid(f"The header webhook-timestamp is {timestamp[:40]!r}, not a Unix time in seconds.")
    age_seconds = now.timestamp() - int(timestamp)
    if abs(age_seconds) > tolerance_seconds:
        where = "old" if age_seconds > 0 else "in the future"
        raise SignatureInvalid(
            f"The callback is {abs(age_seconds):.0f} s {where}; {tolerance_seconds:g} s are allowed."
        )
