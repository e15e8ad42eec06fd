"""Wires the retriever."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from colloquy.servicekit.app import create_service
from services.retriever.metrics import Metrics
from services.retriever.retriever import OpenStore, Retriever, open_retriever
from services.retriever.routes import router
from services.retriever.settings import Settings
from services.retriever.vector_stores import open_store as open_configured_store


def create_app(settings: Settings, *, open_store: OpenStore = open_configured_store) -> FastAPI:
    """The service; its port opens when the store is open, `/readyz` says when its models answer.

    Args:
        open_store: opens the store that the settings name.
    """
    registry = CollectorRegistry()
    metrics = Metrics(registry)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Retriever]]:
        async with open_retriever(settings, metrics, open_store) as retriever:
            yield {"retriever": retriever}

    return create_service(
        "retriever",
        routers=[router],
        lifespan=lifespan,
        registry=registry,
        hop_secret=settings.hop_secret,
        max_body_bytes=settings.tuning.max_body_bytes,
        default_deadline_ms=settings.tuning.default_deadline_ms,
    )
