"""Every model that answers, over all services."""

import asyncio

from colloquy.contracts.operation import OpenAIModel, OpenAIModelList
from colloquy.contracts.retrieval import Spaces
from gateway.generator import Generator
from gateway.reranker import Reranker
from gateway.retriever import Retriever


class Models:
    def __init__(
        self, generator: Generator, retriever: Retriever | None, reranker: Reranker | None
    ) -> None:
        self._tasked = [service for service in (generator, reranker) if service is not None]
        self._retriever = retriever

    async def listed(self) -> OpenAIModelList:
        """Each version once, tasks first.

        Raises:
            ServiceError: a service does not say what it serves.
        """
        spaces, tasked = await asyncio.gather(
            self._spaces(), asyncio.gather(*(service.tasks() for service in self._tasked))
        )
        created = {task.model: task.created for served in tasked for task in served.tasks}
        for space in spaces.spaces:
            created.setdefault(space.model, space.created)
        return OpenAIModelList(
            data=[OpenAIModel(id=model, created=at) for model, at in created.items()]
        )

    async def _spaces(self) -> Spaces:
        return Spaces(spaces=[]) if self._retriever is None else await self._retriever.spaces()
