"""Reading a request: its body within bounds, and the headers that say what it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from api.web.problems import TOO_LARGE, Code, Problem

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.requests import Request

MAX_BODY_BYTES: Final = 1024 * 1024
CONTENT_TYPE_RULE: Final = (
    "Send the header `Content-Type: application/json` (`application/*+json` is taken too; a charset other than utf-8 "
    "is not, and neither is a request without the header)."
)

_WORD: Final = r"[a-z0-9!#$&^_.+-]+"
_JSON_TYPE: Final = re.compile(
    rf'application/(?:json|{_WORD}\+json)\s*(?:;\s*(?:{_WORD}\s*=\s*(?:{_WORD}|"[^"]*")\s*)?)*', re.IGNORECASE
)
_CHARSET: Final = re.compile(r';\s*charset\s*=\s*"?([^";\s]*)', re.IGNORECASE)
_VISIBLE_ASCII: Final = re.compile(r"[\x21-\x7e]{1,255}")


async def read_json_body(request: Request) -> bytes:
    """Return the body of a request that says it is JSON.

    Raises:
        Problem: 415 for another Content-Type, 413 for more than 1 MiB, whether announced or not.
    """
    headers = request.headers
    _check_content_type(headers)
    _check_content_encoding(headers)
    announced = headers.get("content-length")
    if announced is not None and int(announced) > MAX_BODY_BYTES:
        raise too_large()
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise too_large()
        chunks.append(chunk)
    return b"".join(chunks)


async def read_optional_json_body(request: Request) -> bytes:
    """Return the body of a request that may come without one; a body needs a JSON content type.

    Raises:
        Problem: 415, 413, as for a body that must be there.
    """
    headers = request.headers
    if "content-type" in headers or "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        return await read_json_body(request)
    return b""


def idempotency_key(headers: Headers) -> str | None:
    """Return the Idempotency-Key, if one is sent.

    Raises:
        Problem: 400 if it is no key, or two are sent.
    """
    keys = headers.getlist("idempotency-key")
    if not keys:
        return None
    if len(keys) > 1:
        raise Problem(400, Code.INVALID_IDEMPOTENCY_KEY, "The header Idempotency-Key is sent more than once.")
    if not _VISIBLE_ASCII.fullmatch(keys[0]):
        detail = "The header Idempotency-Key must have 1 to 255 visible ASCII characters."
        raise Problem(400, Code.INVALID_IDEMPOTENCY_KEY, detail)
    return keys[0]


def _check_content_type(headers: Headers) -> None:
    values = headers.getlist("content-type")
    if values == ["application/json"]:
        return
    if len(values) != 1 or not _is_json_type(values[0]):
        raise Problem(415, Code.UNSUPPORTED_MEDIA_TYPE, CONTENT_TYPE_RULE, headers={"Accept-Post": "application/json"})


def _check_content_encoding(headers: Headers) -> None:
    encodings = headers.getlist("content-encoding")
    if any(encoding.lower() != "identity" for encoding in encodings):
        detail = "The body is taken as it is: send it without the header Content-Encoding."
        raise Problem(415, Code.UNSUPPORTED_MEDIA_TYPE, detail, headers={"Accept-Encoding": "identity"})


def _is_json_type(value: str) -> bool:
    charsets = _CHARSET.findall(value)
    return bool(_JSON_TYPE.fullmatch(value)) and all(charset.lower() == "utf-8" for charset in charsets)


def too_large() -> Problem:
    """Return the problem of a body that is larger than what is taken."""
    detail = f"The body has more than {MAX_BODY_BYTES} bytes, the most that is taken."
    # What follows is not read, so that no further request can be found in it.
    return Problem(TOO_LARGE, Code.BODY_TOO_LARGE, detail, headers={"Connection": "close"})
