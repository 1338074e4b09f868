"""The index, and the documentation page with its assets: all references relative, nothing from elsewhere."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path as FilePath
from typing import Final

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from api.web import descriptions
from api.web.openapi import VERSION
from api.web.representation import json_bytes

ASSETS: Final = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")
ASSET_MAX_AGE_SECONDS: Final = 3600
_DIRECTORY: Final = FilePath(str(files("fastapi_offline"))) / "static"
_HERE: Final = {"name": "Taskpost", "version": VERSION, "documentation": "docs", "tasks": "api/tasks"}

router = APIRouter(tags=["operation"])


@router.get("/", **descriptions.INDEX)
async def index() -> Response:
    """Answer at the root."""
    return Response(json_bytes(_HERE), media_type="application/json")


@router.get("/docs", include_in_schema=False)
async def documentation() -> Response:
    """Return Swagger UI."""
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title="Taskpost",
        swagger_js_url="docs/assets/swagger-ui-bundle.js",
        swagger_css_url="docs/assets/swagger-ui.css",
        swagger_favicon_url="docs/assets/favicon.png",
        # Without this the page sends its own address to a validator on the Internet.
        swagger_ui_parameters={"validatorUrl": None},
    )


@router.get("/docs/assets/{name}", include_in_schema=False)
async def asset(name: str) -> Response:
    """Return a file of Swagger UI."""
    if name not in ASSETS:
        raise HTTPException(404)
    return FileResponse(_DIRECTORY / name, headers={"Cache-Control": f"public, max-age={ASSET_MAX_AGE_SECONDS}"})
