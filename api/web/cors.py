"""CORS, for the origins that the settings name; there is none without them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.middleware.cors import CORSMiddleware

from api.web.problems import Code, Problem, respond

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.responses import Response

METHODS: Final = ("DELETE", "GET", "HEAD", "POST")
REQUEST_HEADERS: Final = ("Idempotency-Key",)
EXPOSED_HEADERS: Final = ("Idempotent-Replayed", "Link", "Location", "Retry-After", "X-Total-Count")


class Cors(CORSMiddleware):
    """Starlette's, but a refusal is a problem like any other."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a browser that asks first."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:  # noqa: PLR2004 - the first status that is none of success
            return response
        headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        return respond(Problem(400, Code.CORS_REFUSED, f"{bytes(response.body).decode()}.", headers=headers))
