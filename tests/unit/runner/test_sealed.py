"""Sealed tokens: read with the key alone, and only as what they are for."""

from __future__ import annotations

import secrets

import pytest

from runner.sealed import SealInvalid, seal, unseal

ATTEMPT = "0197-1"


def test_who_has_the_key_reads_the_token():
    token = secrets.token_urlsafe(12)
    sealed = seal(token, "key", ATTEMPT)
    assert sealed == seal(token, "key", ATTEMPT)
    assert token not in sealed
    assert token.encode().hex() not in sealed
    assert unseal(sealed, ["old", "key"], ATTEMPT) == token


def test_no_two_tokens_have_the_same_mask():
    one, other = (bytes.fromhex(seal(token, "key", ATTEMPT).rpartition(".")[2]) for token in ("a" * 16, "b" * 16))
    assert len({first ^ second for first, second in zip(one, other, strict=True)}) > 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda sealed: ("", ["key"], ATTEMPT), "not mounted"),
        (lambda sealed: (sealed, [], ATTEMPT), "not mounted"),
        (lambda sealed: (sealed, ["other"], ATTEMPT), "not mounted"),
        (lambda sealed: (sealed, ["key"], "0197-2"), "another attempt"),
        (lambda sealed: (sealed[:-2] + "00", ["key"], ATTEMPT), "has been changed"),
        (lambda sealed: (sealed + "0", ["key"], ATTEMPT), "has been changed"),
        (lambda sealed: (sealed + "zz", ["key"], ATTEMPT), "has been changed"),
        (lambda sealed: (sealed.partition(".")[0], ["key"], ATTEMPT), "has been changed"),
    ],
)
def test_anything_else_is_refused(change, message):
    with pytest.raises(SealInvalid, match=message) as refusal:
        unseal(*change(seal("token", "key", ATTEMPT)))
    assert "key " not in str(refusal.value).replace("signing key ", "")


def test_a_token_that_is_too_long_is_not_cut():
    with pytest.raises(ValueError, match="32 bytes"):
        seal("t" * 33, "key", ATTEMPT)
