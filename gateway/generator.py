"""The generator, as the gateway asks it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from colloquy.contracts.generation import (
    FragmentAnswer,
    FragmentTask,
    SplitAnswer,
    SplitTask,
    TaskModels,
)
from colloquy.contracts.operation import Readiness
from colloquy.servicekit.calls import ServiceClient
from gateway.behind import client_of
from gateway.metrics import Metrics
from gateway.settings import Settings


class Generator:
    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def fragment(self, task: FragmentTask) -> FragmentAnswer:
        return await self._client.call("POST /v1/fragment", task, FragmentAnswer)

    async def split(self, task: SplitTask) -> SplitAnswer:
        return await self._client.call("POST /v1/split", task, SplitAnswer)

    async def tasks(self) -> TaskModels:
        return await self._client.get("/v1/tasks", TaskModels)

    async def readiness(self) -> Readiness:
        return await self._client.get("/readyz", Readiness, also=frozenset({503}))


@asynccontextmanager
async def open_generator(settings: Settings, metrics: Metrics) -> AsyncIterator[Generator]:
    async with client_of("generator", settings.generator, settings, metrics) as client:
        yield Generator(client)
