"""How a route is declared, and the shortest way from it to its function that FastAPI allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from api.web.guard import check_sender
from api.web.origins import SAFE_METHODS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from fastapi import FastAPI


@dataclass(frozen=True, slots=True)
class Operation:
    """A method on a path: the function that answers it, and what OpenAPI says of it (None: nothing).

    The function is given the request and the path's parameters as text, and returns a response. One that does not ask
    Redis (`asks_redis`), or bounds by itself how many do so at a time, never waits for its turn.
    """

    method: str
    path: str
    function: Callable[..., Awaitable[Response]]
    description: Mapping[str, Any] | None = None
    asks_redis: bool = True

    @property
    def _success(self) -> int | None:
        """The status of a success, if the description names one."""
        statuses = (self.description or {}).get("responses", {})
        return min((status for status in statuses if isinstance(status, int)), default=None)

    def add_to(self, app: FastAPI, tag: str) -> None:
        """Make it a route of the application."""
        function = self.function

        async def answer(request: Request) -> Response:
            return await function(request, **request.path_params)

        async def answer_in_turn(request: Request) -> Response:
            async with request.app.state.turns:
                return await function(request, **request.path_params)

        async def answer_change(request: Request) -> Response:
            check_sender(request.scope["headers"], request.app.state.services.settings.cors_origins)
            return await answer_in_turn(request)

        safe = answer_in_turn if self.asks_redis else answer
        app.add_api_route(
            self.path,
            safe if self.method in SAFE_METHODS else answer_change,
            methods=[self.method],
            name=getattr(function, "__name__", None),
            # For the document alone, which would else have a 200 beside it.
            status_code=self._success,
            response_model=None,
            response_class=Response,
            include_in_schema=self.description is not None,
            tags=[tag],
            **self.description or {},
        )


class DirectRoute(APIRoute):
    """A route whose function takes the request as it is.

    FastAPI's own handler solves dependencies at every request, which would cost a POST a fifth more.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what is called with each request."""
        return self.endpoint
