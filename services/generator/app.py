"""Wires the generator."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from colloquy.servicekit.app import create_service
from services.generator.generator import Generator, open_generator
from services.generator.metrics import Metrics
from services.generator.routes import router
from services.generator.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """The service; its port opens at once, `/readyz` says when its engines answer."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Generator]]:
        async with open_generator(settings, metrics) as generator:
            yield {"generator": generator}

    return create_service(
        "generator",
        routers=[router],
        lifespan=lifespan,
        registry=registry,
        hop_secret=settings.hop_secret,
        max_body_bytes=settings.tuning.max_body_bytes,
        default_deadline_ms=settings.tuning.default_deadline_ms,
    )
