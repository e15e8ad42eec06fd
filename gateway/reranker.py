"""The reranker, as the gateway asks it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from colloquy.contracts.generation import TaskModels
from colloquy.contracts.operation import Readiness
from colloquy.contracts.reranking import Rerank, Reranked
from colloquy.servicekit.calls import ServiceClient
from gateway.behind import client_of
from gateway.metrics import Metrics
from gateway.settings import Settings


class Reranker:
    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def rerank(self, question: Rerank) -> Reranked:
        return await self._client.call("POST /v1/rerank", question, Reranked)

    async def tasks(self) -> TaskModels:
        return await self._client.get("/v1/tasks", TaskModels)

    async def readiness(self) -> Readiness:
        return await self._client.get("/readyz", Readiness, also=frozenset({503}))


@asynccontextmanager
async def open_reranker(settings: Settings, metrics: Metrics) -> AsyncIterator[Reranker | None]:
    """Nothing where the profile has no reranker."""
    if settings.reranker is None:
        yield None
        return
    async with client_of("reranker", settings.reranker, settings, metrics) as client:
        yield Reranker(client)
