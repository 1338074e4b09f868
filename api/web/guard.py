"""Runs between the server and the routes: refuses requests, and answers when a route fails."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from api.web.origins import refuses_sender
from api.web.problems import Code, Problem, respond, unexpected
from runner.delivery.post import USER_AGENT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from api.web.origins import HostRule

logger = logging.getLogger(__name__)

REFUSAL: Final = "taskpost.refusal"
"""The key of a request's scope with the `Problem` that is its answer, whatever the route."""
REMEMBERED_HOSTS: Final = 256


class Guard:
    """Refuses requests for another host, and answers 500 when a route fails.

    It is inside the middleware for CORS, so that a browser can read these answers too.
    """

    def __init__(self, app: ASGIApp, hosts: HostRule) -> None:
        self._app = app
        self._allows_all = hosts.allows_all
        self._allows = lru_cache(REMEMBERED_HOSTS)(hosts.allows)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = scope.get(REFUSAL) or self._refusal(scope)
        if refusal is not None:
            await respond(refusal)(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        except Exception:
            logger.exception("request_failed", extra={"method": scope["method"]})
            await respond(unexpected())(scope, receive, send)

    def _refusal(self, scope: Scope) -> Problem | None:
        if self._allows_all:
            return None
        for name, value in scope["headers"]:
            if name == b"host":
                host = value.decode("latin-1")
                return None if self._allows(host) else _misdirected(host)
        return None  # Only HTTP/1.0 goes without a host: no browser does.


def check_sender(headers: Iterable[tuple[bytes, bytes]], trusted_origins: tuple[str, ...]) -> None:
    """Check who sent a request that changes something.

    Raises:
        Problem: 403 if a page of another site made a browser send it, and the settings do not name that site; 410 if it
            is a callback, which got here by a name or an address that is not known to be our own.
    """
    host, origins, sites, marks = "", [], [], set()
    for name, value in headers:
        if name == b"host":
            host = value.decode("latin-1")
        elif name == b"origin":
            origins.append(value.decode("latin-1"))
        elif name == b"sec-fetch-site":
            sites.append(value.decode("latin-1"))
        elif name == b"webhook-id" or (name == b"user-agent" and value == USER_AGENT.encode()):
            marks.add(name)
    if len(marks) > 1:
        raise _own_callback()
    if (origins or sites) and refuses_sender(host, origins, sites, trusted_origins):
        raise _cross_site(origins)


def _own_callback() -> Problem:
    """410 ends the attempts of a callback: a chain of tasks that call each other's callbacks ends at its first link."""
    detail = (
        "A callback of Taskpost does not change anything here: the result_url of its task leads to Taskpost itself. "
        "Give the task another result_url, and name this host in TASKPOST_CALLBACK_OWN_NAMES."
    )
    return Problem(410, Code.OWN_CALLBACK, detail)


def _misdirected(host: str) -> Problem:
    detail = (
        f"This service does not answer for the host {host[:100]!r}. Call it by an allowed name, or allow this one "
        "with TASKPOST_ALLOWED_HOSTS."
    )
    return Problem(421, Code.MISDIRECTED, detail)


def _cross_site(origins: list[str]) -> Problem:
    whose = f"from {origins[0][:100]!r}" if origins else "from another site"
    detail = f"A page {whose} may not make a browser change anything here. Allow its origin with TASKPOST_CORS_ORIGINS."
    return Problem(403, Code.CROSS_SITE, detail)
