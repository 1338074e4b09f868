"""`/api/task-types`: what can be asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from api.web import descriptions
from api.web.operation import Operation
from api.web.representation import json_bytes, type_view

if TYPE_CHECKING:
    from starlette.requests import Request

    from api.web.services import Services


async def list_task_types(request: Request) -> Response:
    """Answer GET."""
    services: Services = request.app.state.services
    views = [type_view(definition) for _, definition in sorted(services.types().items())]
    return Response(json_bytes(views), media_type="application/json")


ROUTES: Final = (Operation("GET", "/api/task-types", list_task_types, descriptions.TASK_TYPES, asks_redis=False),)
