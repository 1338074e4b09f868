"""Reading a request: its body within bounds, and the headers that say what it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from api.web.problems import TOO_LARGE, Code, Problem

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.requests import Request

MAX_BODY_BYTES: Final = 1024 * 1024
BROWSER_HEADERS: Final = ("Origin", "Sec-Fetch-Site", "Referer")
"""A request with one of these may have been sent by a page, without a word from the person who looks at it."""
CONTENT_TYPE_RULE: Final = (
    "Send the header `Content-Type: application/json` (or `application/*+json`), with no charset but utf-8. Without "
    "the header, or with the `application/x-www-form-urlencoded` of a plain `curl -d`, the body is read as JSON too, "
    "unless the request has one of the headers that browsers send: `Origin`, `Sec-Fetch-Site`, `Referer`."
)

_WORD: Final = r"[a-z0-9!#$&^_.+-]+"
_PARAMETERS: Final = rf'\s*(?:;\s*(?:{_WORD}\s*=\s*(?:{_WORD}|"[^"]*")\s*)?)*'
_JSON_TYPE: Final = re.compile(rf"application/(?:json|{_WORD}\+json){_PARAMETERS}", re.IGNORECASE)
_FORM_TYPE: Final = re.compile(rf"application/x-www-form-urlencoded{_PARAMETERS}", re.IGNORECASE)
_CHARSET: Final = re.compile(r';\s*charset\s*=\s*"?([^";\s]*)', re.IGNORECASE)
_VISIBLE_ASCII: Final = re.compile(r"[\x21-\x7e]{1,255}")
_SHOWN_CHARACTERS: Final = 100


async def read_json_body(request: Request) -> bytes:
    """Return the body of a request, if it is JSON by its Content-Type or may be read as JSON.

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
    """Return the body of a request that may come without one.

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
        Problem: 400 if it is not valid, or two are sent.
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
    if values == ["application/json"] or (len(values) == 1 and _is_utf8(_JSON_TYPE, values[0])):
        return
    is_default = not values or (len(values) == 1 and _is_utf8(_FORM_TYPE, values[0]))
    mark = next((name for name in BROWSER_HEADERS if name in headers), None)
    if is_default and mark is None:
        return
    found = " and ".join(repr(value[:_SHOWN_CHARACTERS]) for value in values[:2]) or "missing"
    browser = f", and the header {mark} is that of a browser" if is_default else ""
    detail = f"The Content-Type is {found}{browser}. {CONTENT_TYPE_RULE}"
    raise Problem(415, Code.UNSUPPORTED_MEDIA_TYPE, detail, headers={"Accept-Post": "application/json"})


def _check_content_encoding(headers: Headers) -> None:
    encodings = headers.getlist("content-encoding")
    if any(encoding.lower() != "identity" for encoding in encodings):
        detail = "The body is taken as it is: send it without the header Content-Encoding."
        raise Problem(415, Code.UNSUPPORTED_MEDIA_TYPE, detail, headers={"Accept-Encoding": "identity"})


def _is_utf8(media_type: re.Pattern[str], value: str) -> bool:
    charsets = _CHARSET.findall(value)
    return bool(media_type.fullmatch(value)) and all(charset.lower() == "utf-8" for charset in charsets)


def too_large() -> Problem:
    """Return the problem of a body that is larger than what is taken."""
    detail = f"The body has more than {MAX_BODY_BYTES} bytes, which is the limit."
    # What follows is not read, so that no further request can be found in it.
    return Problem(TOO_LARGE, Code.BODY_TOO_LARGE, detail, headers={"Connection": "close"})
