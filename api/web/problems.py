"""Every answer that is not a success: `application/problem+json` (RFC 9457) with a stable `code`."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match

from api.queue.errors import QueueUnavailable
from api.web.representation import json_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI
    from starlette.types import Receive, Scope, Send

    from api.web.faults import Fault

MEDIA_TYPE: Final = "application/problem+json"
METHODS: Final = ("DELETE", "GET", "PATCH", "POST", "PUT")
TOO_LARGE: Final = 413
_TITLES: Final = {TOO_LARGE: "Content Too Large"}  # Python 3.13 renamed it, and answers do not depend on the Python.
LINGER_SECONDS: Final = 1.0
LINGER_BYTES: Final = 16 * 1024 * 1024


class Code(StrEnum):
    """What programs may rely on."""

    INVALID_JSON = "invalid_json"
    INVALID_REQUEST = "invalid_request"
    INVALID_QUERY = "invalid_query"
    INVALID_IDEMPOTENCY_KEY = "invalid_idempotency_key"
    NOT_FOUND = "not_found"
    TASK_NOT_FOUND = "task_not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    TASK_ENDED = "task_ended"
    NOT_ENDED = "not_ended"
    NO_CALLBACK = "no_callback"
    ALREADY_DELIVERED = "already_delivered"
    TASK_EXPIRED = "task_expired"
    RESULT_GONE = "result_gone"
    RESULT_DROPPED = "result_dropped"
    BODY_TOO_LARGE = "body_too_large"
    HEAD_TOO_LARGE = "head_too_large"
    INVALID_HTTP = "invalid_http"
    REQUEST_TIMEOUT = "request_timeout"
    MISDIRECTED = "misdirected"
    CROSS_SITE = "cross_site"
    OWN_CALLBACK = "own_callback"
    UNSUPPORTED_CODING = "unsupported_coding"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    QUEUE_FULL = "queue_full"
    UNDELIVERED_FULL = "undelivered_full"
    IDEMPOTENCY_FULL = "idempotency_full"
    UNAVAILABLE = "unavailable"
    NOT_READY = "not_ready"
    CORS_REFUSED = "cors_refused"
    INTERNAL_ERROR = "internal_error"


class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """Ends a request with this answer."""

    def __init__(
        self,
        status: int,
        code: Code,
        detail: str,
        errors: tuple[Fault, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}


def no_such_task(task_id: str) -> Problem:
    """The problem of an id that no task has."""
    return Problem(404, Code.TASK_NOT_FOUND, f"Task {task_id[:100]} does not exist.")


def unexpected() -> Problem:
    """Return the problem for a bug of ours; the log has the details."""
    return Problem(500, Code.INTERNAL_ERROR, "Taskpost failed to handle this request; its log has the cause.")


def body_of(status: int, code: str, detail: str, errors: tuple[Fault, ...] = ()) -> dict[str, Any]:
    """Return the members of a problem."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES.get(status) or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if errors:
        body["errors"] = [{"pointer": fault.pointer, "detail": fault.detail} for fault in errors]
    return body


def respond(problem: Problem) -> Response:
    """Return the answer of a problem."""
    kind = _LingeringResponse if problem.status == TOO_LARGE else Response
    return kind(
        json_bytes(body_of(problem.status, problem.code, problem.detail, problem.errors)),
        status_code=problem.status,
        headers={"Cache-Control": "no-store", **problem.headers},
        media_type=MEDIA_TYPE,
    )


def install(app: FastAPI) -> None:
    """Let this module answer for all that is raised."""
    app.exception_handler(Problem)(_on_problem)
    app.exception_handler(QueueUnavailable)(_on_unavailable)
    app.exception_handler(404)(_on_not_found)
    app.exception_handler(405)(_on_method_not_allowed)
    app.exception_handler(ClientDisconnect)(_on_disconnect)
    app.exception_handler(Exception)(_on_unexpected)


class _LingeringResponse(Response):
    """Is sent at once, but ends only when the rest of the request has passed by, for a bounded time.

    A connection closed over unread data is reset, and many a client and proxy would then not see the answer.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                await _drain(receive)
        await send({"type": "http.response.body", "body": b""})


async def _drain(receive: Receive) -> None:
    passed = 0
    while passed <= LINGER_BYTES:
        message = await receive()
        if not message.get("more_body"):
            return
        passed += len(message["body"])


async def _on_problem(_request: Request, problem: Problem) -> Response:
    return respond(problem)


async def _on_unavailable(_request: Request, error: QueueUnavailable) -> Response:
    headers = {"Retry-After": str(error.retry_after_seconds)}
    # What follows a colon are the words of the library: addresses of ours may be in them.
    detail = f"{error.reason.partition(':')[0]}."
    return respond(Problem(503, Code.UNAVAILABLE, detail, headers=headers))


async def _on_not_found(_request: Request, _error: Exception) -> Response:
    return respond(Problem(404, Code.NOT_FOUND, "There is nothing at this path."))


async def _on_method_not_allowed(request: Request, _error: Exception) -> Response:
    allowed = _allowed_methods(request)
    return respond(Problem(405, Code.METHOD_NOT_ALLOWED, f"This path takes {allowed}.", headers={"Allow": allowed}))


async def _on_disconnect(_request: Request, _error: Exception) -> Response:
    """Answer a client that has closed its connection. Nobody reads it; it keeps the disconnect out of the error log."""
    return respond(Problem(400, Code.INVALID_REQUEST, "The connection ended before the body did."))


async def _on_unexpected(_request: Request, _error: Exception) -> Response:
    """Faults of routes do not come so far (see `guard`): Starlette raises this one again, and the server logs it."""
    return respond(unexpected())


def _allowed_methods(request: Request) -> str:
    """Ask all routes, since each knows its own methods only and the router stops at the first."""
    routes = request.app.router.routes
    methods = {
        method
        for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    }
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
