"""The index, OpenAPI, and the documentation page with its assets: all references relative, nothing from elsewhere."""

from __future__ import annotations

import mimetypes
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastapi.openapi.docs import get_swagger_ui_html
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.web import descriptions
from api.web.index_page import index_page, prefers_page
from api.web.openapi import VERSION
from api.web.operation import Operation
from api.web.representation import json_bytes

if TYPE_CHECKING:
    from starlette.requests import Request

ASSETS: Final = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")
ASSET_MAX_AGE_SECONDS: Final = 3600
# A page that frames this one could have its user click on "Execute".
_PAGE_HEADERS: Final = {
    "Content-Security-Policy": "frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
}
_INDEX_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Vary": "Accept",
}
_ASSET_HEADERS: Final = {
    "Cache-Control": f"public, max-age={ASSET_MAX_AGE_SECONDS}",
    "X-Content-Type-Options": "nosniff",
}
_DIRECTORY: Final = Path(str(files("fastapi_offline"))) / "static"
_INDEX: Final = {"name": "Taskpost", "version": VERSION, "documentation": "docs", "tasks": "api/tasks"}


async def index(request: Request) -> Response:
    """Answer at the root: with a page for a browser, with JSON for all others."""
    if prefers_page(request.headers.getlist("accept")):
        page = index_page(request.app.state.services.settings.root_path)
        return Response(page, headers={**_PAGE_HEADERS, **_INDEX_HEADERS}, media_type="text/html")
    return Response(json_bytes(_INDEX), headers={"Vary": "Accept"}, media_type="application/json")


async def openapi(request: Request) -> Response:
    """Return the OpenAPI document."""
    return Response(json_bytes(request.app.openapi()), media_type="application/json")


async def documentation(_request: Request) -> Response:
    """Return Swagger UI."""
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="Taskpost",
        swagger_js_url="docs/assets/swagger-ui-bundle.js",
        swagger_css_url="docs/assets/swagger-ui.css",
        swagger_favicon_url="docs/assets/favicon.png",
        # Without this the page sends its own address to a validator on the Internet.
        swagger_ui_parameters={"validatorUrl": None},
    )
    page.headers.update(_PAGE_HEADERS)
    return page


async def documentation_with_slash(_request: Request) -> Response:
    """Redirect to the page, whose links are relative to its own address. So is this one, behind any prefix."""
    return Response(status_code=307, headers={"Location": "../docs"})


async def asset(_request: Request, name: str) -> Response:
    """Return a file of Swagger UI."""
    if name not in ASSETS:
        raise HTTPException(404)
    return Response(_read(name), headers=_ASSET_HEADERS, media_type=mimetypes.guess_type(name)[0])


@cache
def _read(name: str) -> bytes:
    """Read a file once: a file that is streamed stays open for as long as its client takes."""
    return (_DIRECTORY / name).read_bytes()


ROUTES: Final = (
    Operation("GET", "/", index, descriptions.INDEX, asks_redis=False),
    Operation("GET", "/openapi.json", openapi, asks_redis=False),
    Operation("GET", "/docs", documentation, asks_redis=False),
    Operation("GET", "/docs/", documentation_with_slash, asks_redis=False),
    Operation("GET", "/docs/assets/{name}", asset, asks_redis=False),
)
