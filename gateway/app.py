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
from gateway.indexer import open_indexer
from gateway.limits import limits_of_routes
from gateway.metrics import Metrics
from gateway.models import Models
from gateway.openai_errors import SpeakOpenAI
from gateway.pace import Pace
from gateway.pictures import open_pictures
from gateway.pipelines.corpus import Corpus
from gateway.pipelines.embeddings import Embeddings
from gateway.pipelines.fragments import Fragments
from gateway.pipelines.ingestion import Ingestion
from gateway.pipelines.ranking import Ranking
from gateway.pipelines.refining import Refining
from gateway.pipelines.reranking import Reranking
from gateway.reranker import open_reranker
from gateway.retriever import open_retriever
from gateway.routes import collections, dialogues, embeddings, fragments, images, jobs, models, page
from gateway.routes.operation import router_over
from gateway.settings import Settings

_ROUTERS = (
    fragments.router,
    embeddings.router,
    collections.router,
    dialogues.router,
    jobs.router,
    images.router,
    models.router,
)


def create_app(settings: Settings) -> FastAPI:
    """Wires the gateway; nothing is opened before it serves."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with opened(settings, metrics) as state:
            yield state

    app = create_service(
        "gateway",
        routers=[*_ROUTERS, router_over(registry)],
        lifespan=lifespan,
        registry=registry,
        hop_secret=None,
        max_body_bytes=settings.max_body_bytes,
        max_bodies_bytes=settings.max_bodies_bytes,
        default_deadline_ms=settings.max_timeout_ms,  # bounds bodies that never end
        route_limits=limits_of_routes(settings),
        metrics_route=False,
        middleware=[Middleware(OwnPageOnly)],
    )
    guard_routes(app)
    app.router.routes += [*page.description_routes(), *page.page_routes(settings)]
    app.add_middleware(SecureHeaders)
    app.add_middleware(SpeakOpenAI)
    describe(app)
    return app


@asynccontextmanager
async def opened(settings: Settings, metrics: Metrics) -> AsyncIterator[dict[str, Any]]:
    """What the routes are given, opened and put together."""
    async with (
        open_keys(settings) as keys,
        open_pictures(settings, metrics) as pictures,
        open_generator(settings, metrics) as generator,
        open_retriever(settings, metrics) as retriever,
        open_reranker(settings, metrics) as reranker,
        open_indexer(settings, metrics) as indexer,
    ):
        pace = Pace()
        ranking = Ranking(reranker, pace, settings.rerank_weight)
        refining = Refining(generator, pace, settings.refine_at_once)
        behind = {
            "generator": generator,
            "retriever": retriever,
            "reranker": reranker,
            "indexer": indexer,
        }
        yield {
            "settings": settings,
            "admission": Admission(keys, settings),
            "pictures": pictures,
            "fragments": Fragments(generator, pictures, metrics, max_turns=settings.max_turns),
            "corpus": Corpus(retriever, ranking, refining, pictures, metrics, settings),
            "embeddings": Embeddings(retriever, pictures),
            "reranking": Reranking(reranker, pictures),
            "indexer": indexer,
            "ingestion": None
            if indexer is None
            else Ingestion(indexer, pictures, metrics, settings),
            "models": Models(generator, retriever, reranker),
            "health": Health(pictures, behind),
        }
