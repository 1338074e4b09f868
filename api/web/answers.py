"""Answers that are no problems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from api.web.representation import json_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:  # noqa: ANN401 - JSON
    """Return an answer with a JSON value."""
    return bytes_answer(json_bytes(value), status, headers)


def bytes_answer(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer with bytes that are JSON already."""
    fixed = {"Cache-Control": "no-store"}
    return Response(body, status, {**fixed, **headers} if headers else fixed, "application/json")
