"""The ASGI application, put together."""

from __future__ import annotations

from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Final

from starlette.middleware import Middleware

from api.web import cors, problems
from api.web.check_apart import CheckApart
from api.web.guard import Guard
from api.web.head import HeadAsGet, PrefixStripped
from api.web.openapi import DESCRIPTION, LICENSE, VERSION, Application
from api.web.operation import DirectRoute
from api.web.routes import deliveries, documentation, health, tasks, types
from api.web.submission import Intake
from api.web.turns import LOGS_AT_A_TIME, REQUESTS_AT_A_TIME, RESULTS_AT_A_TIME, Turns
from api.web.webhook import WEBHOOKS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from fastapi import FastAPI

    from api.web.services import Services, WebSettings

_OPERATIONS: Final = {
    "tasks": tasks.ROUTES,
    "deliveries": deliveries.ROUTES,
    "task types": types.ROUTES,
    "operation": (*health.ROUTES, *documentation.ROUTES),
}
_PLACES: Final = frozenset(operation.path.split("/")[1] for group in _OPERATIONS.values() for operation in group)


def create_app(services: Services, lifespan: Callable[[], AbstractAsyncContextManager[None]] = nullcontext) -> FastAPI:
    """Return the application. `lifespan` is entered before the first request and left after the last.

    Raises:
        ValueError: if a task type's input schema is not a JSON Schema.
    """

    @asynccontextmanager
    async def entered(_app: FastAPI) -> AsyncIterator[None]:
        async with lifespan():
            try:
                yield
            finally:
                await app.state.check_apart.close()

    settings = services.settings
    app = Application(
        title="Taskpost",
        version=VERSION,
        description=DESCRIPTION,
        license_info=LICENSE,
        # Where the proxy's prefix is not known, the calls are where this document is.
        servers=[{"url": settings.root_path or "."}],
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        lifespan=entered,
        middleware=_middleware(settings),
    )
    app.described_webhooks = WEBHOOKS
    app.state.services = services
    app.state.turns = Turns(REQUESTS_AT_A_TIME)
    app.state.result_turns = Turns(RESULTS_AT_A_TIME)
    app.state.log_turns = Turns(LOGS_AT_A_TIME)
    app.state.check_apart = CheckApart()
    app.state.intake = Intake(services.types, settings.callback_policy)
    problems.install(app)
    _add_routes(app)
    return app


def _add_routes(app: FastAPI) -> None:
    # Straight to the application, tasks first: each router that is included costs every request its part.
    app.router.route_class = DirectRoute
    for tag, operations in _OPERATIONS.items():
        for operation in operations:
            operation.add_to(app, tag)


def _middleware(settings: WebSettings) -> list[Middleware]:
    middleware = [Middleware(HeadAsGet)]
    if settings.cors_origins:
        middleware.append(
            Middleware(
                cors.Cors,
                allow_origins=settings.cors_origins,
                allow_methods=cors.METHODS,
                allow_headers=cors.REQUEST_HEADERS,
                expose_headers=cors.EXPOSED_HEADERS,
            )
        )
    if settings.root_path:
        middleware.append(Middleware(PrefixStripped, prefix=settings.root_path, places=_PLACES))
    middleware.append(Middleware(Guard, hosts=settings.hosts))
    return middleware
