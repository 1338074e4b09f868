"""How a route is declared, and the shortest way from it to its function that FastAPI allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from fastapi import FastAPI


@dataclass(frozen=True, slots=True)
class Operation:
    """A method on a path: the function that answers it, and what OpenAPI says of it (None: nothing).

    The function is given the request and the path's parameters as text, and returns a response.
    """

    method: str
    path: str
    function: Callable[..., Awaitable[Response]]
    description: Mapping[str, Any] | None = None

    def add_to(self, app: FastAPI, tag: str) -> None:
        """Make it a route of the application."""
        function = self.function

        async def answer(request: Request) -> Response:
            return await function(request, **request.path_params)

        app.add_api_route(
            self.path,
            answer,
            methods=[self.method],
            name=getattr(function, "__name__", None),
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
