"""A request as ASGI wants it, and the answer to one that cannot be read: pure functions beside the protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from api.web.problems import MEDIA_TYPE, Problem, body_of
from api.web.representation import json_bytes

if TYPE_CHECKING:
    from api.web.request_head import RequestHead

Address = tuple[str, int | None]

_PHRASES: Final = {
    400: b"Bad Request",
    408: b"Request Timeout",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
}


def scope_of(
    head: RequestHead, server: Address | None, client: Address | None, state: dict[str, Any]
) -> dict[str, Any]:
    """Return the scope of a request. No header of a proxy is believed: nothing here depends on what it would say."""
    path = head.path.decode("ascii")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": head.version,
        "server": server,
        "client": client,
        "scheme": "http",
        "root_path": "",
        "method": head.method,
        "path": unquote(path) if "%" in path else path,
        "raw_path": head.path,
        "query_string": head.query,
        "headers": head.headers,
        "state": state.copy(),
    }


def closing_answer(problem: Problem) -> bytes:
    """Return the answer to a request whose head could not be read; the connection is closed after it."""
    body = json_bytes(body_of(problem.status, problem.code, problem.detail))
    return (
        b"HTTP/1.1 %d %s\r\n" % (problem.status, _PHRASES[problem.status])
        + b"content-type: %s\r\n" % MEDIA_TYPE.encode()
        + b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        + body
    )
