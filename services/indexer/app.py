"""Wires the indexer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from colloquy.servicekit.app import create_service
from services.indexer.indexer import Indexer, open_indexer
from services.indexer.metrics import Metrics
from services.indexer.routes import router
from services.indexer.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """The service; its port opens when its ledger is open."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Indexer]]:
        async with open_indexer(settings, metrics) as indexer:
            yield {"indexer": indexer}

    return create_service(
        "indexer",
        routers=[router],
        lifespan=lifespan,
        registry=registry,
        hop_secret=settings.hop_secret,
        max_body_bytes=settings.tuning.max_body_bytes,
        default_deadline_ms=settings.tuning.default_deadline_ms,
    )
