"""Seals the token of an attempt: the form that a Job shows is useless without a key that its pods mount.

A sealed token is `<name of the key>.<SHA-256 of the token>.<the token, masked>`, in hex. The mask is an HMAC of the
attempt and of the token's hash: it differs for each token, and is the same each time the Job is created.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY_NAME_CHARACTERS: Final = 8
MAX_TOKEN_BYTES: Final = 32


class SealInvalid(ValueError):  # noqa: N818 - reads as what it says
    """A sealed token cannot be opened; the message has the reason and no key."""


def seal(token: str, key: str, attempt: str) -> str:
    """Return the token of an attempt (`<task id>-<number>`) in a form that cannot be read without the key.

    Raises:
        ValueError: if the token is longer than 32 bytes.
    """
    if len(token.encode()) > MAX_TOKEN_BYTES:
        raise ValueError(f"the token has more than {MAX_TOKEN_BYTES} bytes")
    digest = hashlib.sha256(token.encode()).hexdigest()
    return f"{_name(key)}.{digest}.{_masked(token.encode(), key, attempt, digest).hex()}"


def unseal(sealed: str, keys: Sequence[str], attempt: str) -> str:
    """Return the token that was sealed with one of the keys.

    Raises:
        SealInvalid: if none of them is the one, or this is not a sealed token of the attempt.
    """
    name, _, rest = sealed.partition(".")
    digest, _, masked = rest.partition(".")
    fitting = [key for key in keys if _name(key) == name]
    if not fitting:
        raise SealInvalid("the attempt's token is sealed with a signing key that is not mounted any more")
    for key in fitting:
        try:
            token = _masked(bytes.fromhex(masked), key, attempt, digest)
        except ValueError:
            break
        if hmac.compare_digest(hashlib.sha256(token).hexdigest(), digest):
            return token.decode()
    raise SealInvalid("the attempt's token was sealed for another attempt, or has been changed")


def _name(key: str) -> str:
    return hashlib.sha256(f"taskpost key {key}".encode()).hexdigest()[:KEY_NAME_CHARACTERS]


def _masked(text: bytes, key: str, attempt: str, digest: str) -> bytes:
    mask = hmac.digest(key.encode(), f"taskpost token {attempt} {digest}".encode(), "sha256")
    return bytes(one ^ other for one, other in zip(text, mask, strict=False))
