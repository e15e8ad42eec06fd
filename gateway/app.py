"""The gateway, put together: to read this file is to read its architecture."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.middleware import Middleware

from colloquy.servicekit.app import create_service
from gateway.access import guard_routes
from gateway.admission import Admission, open_keys
from gateway.browsers import OwnPageOnly, SecureHeaders
from gateway.describe import describe
from gateway.generator import open_generator
from gateway.health import Health
from gateway.metrics import Metrics
from gateway.pictures import open_pictures
from gateway.pipelines.fragments import Fragments
from gateway.routes import fragments, images, models, operation, page
from gateway.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """Wires the gateway; nothing is opened before it serves."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with (
            open_keys(settings) as keys,
            open_pictures(settings, metrics) as pictures,
            open_generator(settings, metrics) as generator,
        ):
            yield {
                "settings": settings,
                "admission": Admission(keys, settings),
                "pictures": pictures,
                "generator": generator,
                "fragments": Fragments(generator, pictures, metrics, max_turns=settings.max_turns),
                "health": Health(generator, pictures),
            }

    app = create_service(
        "gateway",
        routers=[fragments.router, images.router, models.router, operation.router_over(registry)],
        lifespan=lifespan,
        registry=registry,
        hop_secret=None,
        max_body_bytes=settings.max_body_bytes,
        max_bodies_bytes=settings.max_bodies_bytes,
        default_deadline_ms=settings.max_timeout_ms,  # bounds bodies that never end
        metrics_route=False,
        middleware=[Middleware(OwnPageOnly)],
    )
    guard_routes(app)
    app.router.routes += [*page.description_routes(), *page.page_routes(settings)]
    app.add_middleware(SecureHeaders)
    describe(app)
    return app
