"""The retriever, as the gateway asks it."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from colloquy.contracts.operation import Readiness
from colloquy.contracts.retrieval import Embed, Embedded, Retrieve, Retrieved, Spaces
from colloquy.servicekit.calls import ServiceClient
from gateway.behind import client_of
from gateway.metrics import Metrics
from gateway.missing import collection_named_at
from gateway.settings import Settings

_SPACES_KEPT_S = 5.0


class Retriever:
    def __init__(self, client: ServiceClient) -> None:
        self._client = client
        self._spaces: tuple[float, Spaces] | None = None

    async def retrieve(self, question: Retrieve) -> Retrieved:
        with collection_named_at("body/collection"):
            return await self._client.call("POST /v1/retrieve", question, Retrieved)

    async def embed(self, items: Embed) -> Embedded:
        return await self._client.call("POST /v1/embed", items, Embedded)

    async def spaces(self) -> Spaces:
        """The embedding spaces there are, as of at most some seconds ago."""
        if self._spaces is None or time.monotonic() - self._spaces[0] > _SPACES_KEPT_S:
            self._spaces = time.monotonic(), await self._client.get("/v1/spaces", Spaces)
        return self._spaces[1]

    async def readiness(self) -> Readiness:
        return await self._client.get("/readyz", Readiness, also=frozenset({503}))


@asynccontextmanager
async def open_retriever(settings: Settings, metrics: Metrics) -> AsyncIterator[Retriever | None]:
    """Nothing where the profile has no retriever."""
    if settings.retriever is None:
        yield None
        return
    async with client_of("retriever", settings.retriever, settings, metrics) as client:
        yield Retriever(client)
