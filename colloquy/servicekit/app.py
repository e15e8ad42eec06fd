"""The app factory: to read `create_service` is to know what every service does to a request."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import SecretStr
from starlette.middleware import Middleware

from colloquy.contracts.problem import Problem
from colloquy.servicekit.bodies import JsonBodyOnly
from colloquy.servicekit.metrics import ServiceMetrics
from colloquy.servicekit.middleware import (
    AnswerProblems,
    BoundBody,
    CancelWhenClientLeaves,
    KeepDeadline,
    KnowTheHop,
    NameRequest,
    Observe,
    RouteLimits,
)
from colloquy.servicekit.problems import PROBLEM_MEDIA_TYPE, install_problem_handlers

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Any]]
_OPEN_PATHS = frozenset({"/healthz"})
_PROBLEM_RANGES = ("4XX", "5XX")
_A_PROBLEM: dict[str, Any] = {"model": Problem, "description": "A problem"}
_log = logging.getLogger(__name__)


def create_service(
    title: str,
    *,
    routers: Sequence[APIRouter],
    lifespan: Lifespan | None,
    registry: CollectorRegistry,
    hop_secret: SecretStr | None,
    max_body_bytes: int,
    max_bodies_bytes: int | None = None,
    default_deadline_ms: int | None = None,
    route_limits: Sequence[RouteLimits] = (),
    open_paths: frozenset[str] = _OPEN_PATHS,
    metrics_route: bool = True,
    middleware: Sequence[Middleware] = (),
    **options: Any,
) -> FastAPI:
    """Wires a service.

    Args:
        title: the service's name; also the prefix of its metrics.
        routers: what it answers. Routes with a body contract take strict JSON only.
        lifespan: opens what the service owns; what it yields becomes `request.state`.
        registry: where its metrics live; `/metrics` shows it.
        hop_secret: what callers must send; None for the public door, which then drops every
            `x-colloquy-*` header that comes in.
        max_body_bytes: of any request body.
        max_bodies_bytes: of all request bodies under way together; beyond it 503.
        default_deadline_ms: for requests that carry no deadline; None leaves them without.
        route_limits: of routes that need others than these.
        open_paths: answered without the hop secret.
        metrics_route: False where the service guards `/metrics` by a route of its own.
        middleware: further layers, innermost, in the order a request meets them.
        options: for FastAPI, `docs_url` for example.
    """
    app = FastAPI(
        title=title,
        lifespan=None if lifespan is None else _reporting(lifespan),
        redirect_slashes=False,
        responses=dict.fromkeys(_PROBLEM_RANGES, _A_PROBLEM),
        middleware=[
            Middleware(NameRequest),
            Middleware(Observe, metrics=ServiceMetrics(registry, title)),
            Middleware(CancelWhenClientLeaves),
            Middleware(AnswerProblems),
            Middleware(KnowTheHop, secret=hop_secret, open_paths=open_paths),
            Middleware(BoundBody, max_body_bytes, max_bodies_bytes, route_limits),
            Middleware(KeepDeadline, default_deadline_ms, route_limits),
            *middleware,
        ],
        **({"docs_url": None, "redoc_url": None, "openapi_url": None} | options),
    )
    for router in (_operation(registry, metrics_route=metrics_route), *routers):
        app.include_router(router)
    for route in app.routes:
        if isinstance(route, APIRoute) and route.body_field is not None:
            route.app = JsonBodyOnly(route.app)
    install_problem_handlers(app)
    _describe_problems(app)
    return app


def _reporting(lifespan: Lifespan) -> Lifespan:
    """The same lifespan; when it fails at start, the log says why in one line.

    Nobody has sent anything yet, so here an exception's text is safe to write.
    """

    @asynccontextmanager
    async def reporting(app: FastAPI) -> AsyncIterator[Any]:
        async with AsyncExitStack() as stack:
            try:
                state = await stack.enter_async_context(lifespan(app))
            except Exception as error:
                reason = " ".join(str(error).split()) or type(error).__name__
                _log.error("cannot start: %s", reason, exc_info=error)
                raise
            yield state

    return reporting


def _operation(registry: CollectorRegistry, *, metrics_route: bool) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz", include_in_schema=False, status_code=204)
    async def healthy() -> Response:
        """Answers once the lifespan has opened everything: before that the port is closed."""
        return Response(status_code=204)

    if metrics_route:

        @router.get("/metrics", include_in_schema=False)
        async def metrics() -> Response:
            return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router


def _describe_problems(app: FastAPI) -> None:
    """Says in the OpenAPI description that problems have their own media type."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        schema = describe()
        for path in schema.get("paths", {}).values():
            for operation in path.values():
                for kind in _PROBLEM_RANGES:
                    content = operation.get("responses", {}).get(kind, {}).get("content", {})
                    if "application/json" in content:
                        content[PROBLEM_MEDIA_TYPE] = content.pop("application/json")
        return schema

    app.openapi = described  # type: ignore[method-assign]
