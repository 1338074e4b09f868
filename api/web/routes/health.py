"""Probes, checks and metrics: alive (whatever Redis does), ready, what is in the way, and Prometheus' text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from api.web import descriptions
from api.web.metrics import render
from api.web.operation import Operation
from api.web.problems import Code, Problem
from api.web.representation import json_bytes

if TYPE_CHECKING:
    from starlette.requests import Request

    from api.web.services import Services


async def live(_request: Request) -> Response:
    """Answer the liveness probe."""
    return _ok()


async def ready(request: Request) -> Response:
    """Answer the readiness probe."""
    services: Services = request.app.state.services
    reason = await services.ready()
    if reason is not None:
        raise Problem(503, Code.NOT_READY, reason)
    return _ok()


async def checks(request: Request) -> Response:
    """Answer what a task needs before it can start, and whether it is there."""
    services: Services = request.app.state.services
    found = [{"name": one.name, "ok": one.ok, "message": one.message} for one in await services.checks()]
    headers = {"Cache-Control": "no-store"}
    return Response(json_bytes({"checks": found}), headers=headers, media_type="application/json")


async def metrics(request: Request) -> Response:
    """Answer a scrape with one count of the queue, and all that was counted before."""
    services: Services = request.app.state.services
    queue = services.queue
    text = render(
        await queue.counts(), await queue.counters.read(), services.settings.concurrency, services.types().keys()
    )
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _ok() -> Response:
    return Response(json_bytes({"status": "ok"}), headers={"Cache-Control": "no-store"}, media_type="application/json")


ROUTES: Final = (
    Operation("GET", "/livez", live, descriptions.LIVE, asks_redis=False),
    Operation("GET", "/readyz", ready, descriptions.READY),
    Operation("GET", "/api/checks", checks, descriptions.CHECKS, asks_redis=False),  # one round at a time for all
    Operation("GET", "/metrics", metrics, descriptions.METRICS),
)
