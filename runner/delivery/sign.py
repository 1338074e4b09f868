"""Signatures by Standard Webhooks 1.0.0 (https://www.standardwebhooks.com): HMAC-SHA256 over `id.timestamp.body`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

KEY_PREFIX: Final = "whsec_"
MIN_KEY_BYTES: Final = 24
MAX_KEY_BYTES: Final = 64


class KeyInvalid(ValueError):  # noqa: N818 - reads as what it says
    """A signing key has a wrong form; the message says what is wanted and never shows the key."""


def parse_keys(texts: Iterable[str]) -> tuple[bytes, ...]:
    """Return the keys of `whsec_<base64>` texts; empty ones are passed over.

    Raises:
        KeyInvalid: if one has another form or another length than 24 to 64 bytes.
    """
    stripped = (text.strip() for text in texts)
    return tuple(_parse_key(text) for text in stripped if text)


def signature_headers(keys: Sequence[bytes], delivery_id: str, timestamp_seconds: int, body: bytes) -> dict[str, str]:
    """Return the headers of one try. Every key signs, so that receivers can go over from an old one to a new one."""
    headers = {"webhook-id": delivery_id, "webhook-timestamp": str(timestamp_seconds)}
    if keys:
        message = b".".join((delivery_id.encode(), str(timestamp_seconds).encode(), body))
        headers["webhook-signature"] = " ".join(f"v1,{_signature(key, message)}" for key in keys)
    return headers


def _signature(key: bytes, message: bytes) -> str:
    return base64.b64encode(hmac.digest(key, message, hashlib.sha256)).decode()


def _parse_key(text: str) -> bytes:
    if not text.startswith(KEY_PREFIX):
        raise KeyInvalid(f"a signing key begins with {KEY_PREFIX}")
    try:
        key = base64.b64decode(text.removeprefix(KEY_PREFIX), validate=True)
    except binascii.Error:
        raise KeyInvalid(f"what follows {KEY_PREFIX} in a signing key is base64") from None
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise KeyInvalid(f"a signing key has {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes, this one has {len(key)}")
    return key
