"""What is put right before any route sees a request: HEAD, and a proxy's prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class HeadAsGet:
    """HEAD is GET; the server leaves the body out, since it knows the method that was really sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)


class PrefixStripped:
    """Takes a proxy's prefix off paths that still have it, so that both kinds of proxies work.

    `places` are the first parts of the paths that there are. What is left of a path must begin with one of them: behind
    a proxy that strips the prefix `/api`, the path `/api/tasks` has it off already.
    """

    def __init__(self, app: ASGIApp, prefix: str, places: frozenset[str]) -> None:
        self._app = app
        self._prefix = prefix
        self._places = places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] == "http":
            path: str = scope["path"]
            rest = path.removeprefix(self._prefix) or "/"
            if rest != path and rest[0] == "/" and rest.split("/")[1] in self._places:
                scope = {**scope, "path": rest}
        await self._app(scope, receive, send)
