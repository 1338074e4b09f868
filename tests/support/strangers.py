"""Requests that a receiver of callbacks may get, genuine ones and those of strangers, as data for any language."""

from __future__ import annotations

import base64
import hmac
import time
from typing import Any, NamedTuple

SECRET = bytes(range(32))
KEY = f"whsec_{base64.b64encode(SECRET).decode()}"
BODY = '{"task_id":"x","text":"größer"}'.encode()
MESSAGE_ID = "msg_01a2120b-69b7-7000-99a2-a225a25b7f1a"


class Case(NamedTuple):
    """A request, the key that the receiver has, and whether it is a callback of ours."""

    name: str
    headers: dict[str, Any]
    body: bytes
    key: Any
    genuine: bool


def signature(secret: bytes, timestamp: str, body: bytes = BODY, message_id: str = MESSAGE_ID) -> str:
    signed = f"{message_id}.{timestamp}.".encode(errors="replace") + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()


def headers(
    signed_at: str | None = None, *, body: bytes = BODY, secret: bytes = SECRET, **changes: Any
) -> dict[str, Any]:
    """Headers with a signature that fits, then changed; a change to None leaves a header out."""
    stamp = str(int(time.time())) if signed_at is None else signed_at
    signed = {"webhook-id": MESSAGE_ID, "webhook-timestamp": stamp, "webhook-signature": signature(secret, stamp, body)}
    changed = signed | {f"webhook-{name}": value for name, value in changes.items()}
    return {name: value for name, value in changed.items() if value is not None}


def genuine() -> list[Case]:
    """Callbacks of ours."""
    good = headers()
    several = f"v1,AAAA {signature(bytes(32), good['webhook-timestamp'])} {good['webhook-signature']} v2,xxxx"
    binary = bytes(range(256))
    return [
        Case("plain", good, BODY, KEY, True),
        Case("among others", {"host": "x", "accept": "*/*", **good}, BODY, KEY, True),
        Case("several signatures", good | {"webhook-signature": several}, BODY, KEY, True),
        Case("no body", headers(body=b""), b"", KEY, True),
        Case("a body of any bytes", headers(body=binary), binary, KEY, True),
        Case("four minutes old", headers(str(int(time.time()) - 240)), BODY, KEY, True),
        Case("a clock that is four minutes fast", headers(str(int(time.time()) + 240)), BODY, KEY, True),
    ]


def timestamps() -> list[Case]:
    """Times that are none, or too far from now, and all of them signed with the right key."""
    now = int(time.time())
    texts = [
        "abc", "NaN", "nan", "Infinity", "-Infinity", "inf", "null", "undefined", "true", "[]", "{}", "0", "1", "-1",
        f"-{now}", f"+{now}", f"{now}.0", f"{now}.5", f"{now}e0", f"{now / 1e9}e9", hex(now), oct(now), f"0b{now:b}",
        f" {now}", f"{now} ", f"\t{now}", f"{now}\n", f"{now}\r\n", f"{now},{now}", f"{now}, {now}", f"{now} {now}",
        f"{now}x", f"x{now}", f"{now:,}", f"{now:_}", f"{now}n", "9" * 16, "9" * 400, "9" * 5000, f"{2**63 - 1}",
        f"{2**64 + now}", f"{now}000", f"{now - 400}", f"{now + 400}", f"{-(2**63)}", "1e400", "٣", "²", "\uff11\uff17",
        f"{now}\0", "$(id)", "`id`", "'; id; '", "*", "a[$(id)]", "2026-11-25T09:31:07Z",
    ]  # fmt: skip
    return [Case(f"timestamp {text[:30]!r}", headers(text), BODY, KEY, False) for text in texts]


def signatures() -> list[Case]:
    """Signatures that do not fit."""
    good = headers()
    right, stamp = good["webhook-signature"], good["webhook-timestamp"]
    texts = [
        "", " ", "v1", "v1,", "v1, ", ",", "v1,!!!!", "v1,ü", "v1,\x00", "\ufffd", "v1,AAAA", f"v2,{right[3:]}",
        f"v1a,{right[3:]}", right[3:], right.lower(), right[:-1], f"{right}=", f"{right}x", f"x{right}", f"v1,{right}",
        right.replace(",", ", "), right.replace(",", ""), "v1," + "A" * 43 + "=", "v1," + "A" * 100_000, "* ? [",
        "v1,x " * 20_000, "*", "none", "undefined", "null", "%", "-n", "$(id)", "\\",
        signature(b"", stamp), signature(SECRET[:-1], stamp), signature(KEY.encode(), stamp),
    ]  # fmt: skip
    changed = [Case(f"signature {text[:30]!r}", good | {"webhook-signature": text}, BODY, KEY, False) for text in texts]
    return [
        *changed,
        Case("another body", good, BODY + b" ", KEY, False),
        Case("no body", good, b"", KEY, False),
        Case("another id", good | {"webhook-id": "msg_2"}, BODY, KEY, False),
        Case("an id that ends elsewhere", good | {"webhook-id": MESSAGE_ID + "."}, BODY, KEY, False),
        Case("another time", good | {"webhook-timestamp": str(int(time.time()) + 7)}, BODY, KEY, False),
        Case("another key", good, BODY, f"whsec_{base64.b64encode(bytes(32)).decode()}", False),
    ]


def missing() -> list[Case]:
    """Requests without some headers, or with empty ones."""
    names = ("id", "timestamp", "signature")
    return [
        Case("no headers", {}, BODY, KEY, False),
        Case("other headers", {"host": "x", "content-type": "text/plain"}, BODY, KEY, False),
        *(Case(f"no webhook-{name}", headers(**{name: None}), BODY, KEY, False) for name in names),
        *(Case(f"an empty webhook-{name}", headers(**{name: ""}), BODY, KEY, False) for name in names),
    ]


def keys() -> list[Case]:
    """Keys that nobody should have, each with a signature by what a careless reader makes of it."""

    def by(key: str, *secrets: bytes) -> list[Case]:
        return [Case(f"key {key[:20]!r}", headers(secret=secret), BODY, key, False) for secret in secrets]

    return [
        *by("", b""),
        *by("whsec_", b""),
        *by("whsec_====", b""),
        *by("whsec_!!!!", b""),
        *by("whsec_ü", b""),
        *by("whsec_QQ==", b"A"),
        *by("undefined", b"", base64.b64decode("undefine"), b"undefined"),
        *by(KEY.removeprefix("whsec_"), SECRET),
        *by(f"xxxxx_{KEY.removeprefix('whsec_')}", SECRET),
    ]


def texts() -> list[Case]:
    """All requests in which headers and key are texts: these can come over a wire."""
    return [*genuine(), *timestamps(), *signatures(), *missing(), *keys()]


def objects() -> list[Case]:
    """Requests in which something is not a text, as frameworks give headers that come twice, and unset keys."""
    odd: list[Any] = [None, [], {}, 5, True, 1.5, ["a", "b"], {"a": 1}]
    good = headers()
    now = int(good["webhook-timestamp"])
    repeated = {name: [value, value] for name, value in good.items()}
    return [
        *(Case(f"{name} {value!r}", good | {name: value}, BODY, KEY, False) for name in good for value in odd),
        Case("the time as a number", good | {"webhook-timestamp": now}, BODY, KEY, False),
        Case("all headers twice", repeated, BODY, KEY, False),
        *(Case(f"key {value!r}", headers(secret=b""), BODY, value, False) for value in odd),
    ]
