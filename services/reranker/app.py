"""Wires the reranker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from colloquy.servicekit.app import create_service
from services.reranker.metrics import Metrics
from services.reranker.reranker import Reranker, open_reranker
from services.reranker.routes import router
from services.reranker.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """The service; its port opens at once, `/readyz` says when its engine answers."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Reranker]]:
        async with open_reranker(settings, metrics) as reranker:
            yield {"reranker": reranker}

    return create_service(
        "reranker",
        routers=[router],
        lifespan=lifespan,
        registry=registry,
        hop_secret=settings.hop_secret,
        max_body_bytes=settings.tuning.max_body_bytes,
        default_deadline_ms=settings.tuning.default_deadline_ms,
    )
