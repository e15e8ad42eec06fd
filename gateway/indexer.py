"""The indexer, as the gateway asks it: collections, jobs and the dialogues that are kept."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from colloquy.contracts.collections import (
    Collection,
    CollectionList,
    DialogueList,
    Job,
    JobList,
    StoredDialogue,
)
from colloquy.contracts.contract import Contract
from colloquy.contracts.indexing import (
    AddItems,
    AppendTurns,
    DialogueRef,
    EraseTraces,
    JobRef,
    ListCollections,
    ListDialogues,
    ListJobs,
    OpenedJob,
    OpenJob,
    PutCollection,
    Reindex,
    SealJob,
)
from colloquy.contracts.operation import Readiness
from colloquy.contracts.retrieval import CollectionRef, Done
from colloquy.servicekit.calls import ServiceClient
from gateway.behind import client_of
from gateway.metrics import Metrics
from gateway.missing import named_in_path
from gateway.settings import Settings

Answer = TypeVar("Answer", bound=Contract)


class Indexer:
    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def _ask(self, route: str, asked: Contract, answer: type[Answer]) -> Answer:
        with named_in_path(asked):
            return await self._client.call(route, asked, answer)

    async def put_collection(self, collection: PutCollection) -> Collection:
        return await self._ask("POST /v1/collections/put", collection, Collection)

    async def collection(self, collection: CollectionRef) -> Collection:
        return await self._ask("POST /v1/collections/get", collection, Collection)

    async def collections(self, page: ListCollections) -> CollectionList:
        return await self._ask("POST /v1/collections/list", page, CollectionList)

    async def drop_collection(self, collection: CollectionRef) -> None:
        await self._ask("POST /v1/collections/drop", collection, Done)

    async def open_job(self, job: OpenJob) -> OpenedJob:
        return await self._ask("POST /v1/jobs/open", job, OpenedJob)

    async def add_items(self, items: AddItems) -> None:
        await self._ask("POST /v1/jobs/items", items, Done)

    async def seal_job(self, job: SealJob) -> OpenedJob:
        return await self._ask("POST /v1/jobs/seal", job, OpenedJob)

    async def job(self, job: JobRef) -> Job:
        return await self._ask("POST /v1/jobs/get", job, Job)

    async def jobs(self, page: ListJobs) -> JobList:
        return await self._ask("POST /v1/jobs/list", page, JobList)

    async def cancel_job(self, job: JobRef) -> Job:
        return await self._ask("POST /v1/jobs/cancel", job, Job)

    async def dialogue(self, dialogue: DialogueRef) -> StoredDialogue:
        return await self._ask("POST /v1/dialogues/get", dialogue, StoredDialogue)

    async def dialogues(self, page: ListDialogues) -> DialogueList:
        return await self._ask("POST /v1/dialogues/list", page, DialogueList)

    async def delete_dialogue(self, dialogue: DialogueRef) -> None:
        await self._ask("POST /v1/dialogues/delete", dialogue, Done)

    async def append_turns(self, turns: AppendTurns) -> OpenedJob:
        return await self._ask("POST /v1/dialogues/append", turns, OpenedJob)

    async def erase(self, traces: EraseTraces) -> Job:
        return await self._ask("POST /v1/erase", traces, Job)

    async def reindex(self, collection: Reindex) -> Job:
        return await self._ask("POST /v1/reindex", collection, Job)

    async def readiness(self) -> Readiness:
        return await self._client.get("/readyz", Readiness, also=frozenset({503}))


@asynccontextmanager
async def open_indexer(settings: Settings, metrics: Metrics) -> AsyncIterator[Indexer | None]:
    """Nothing where the profile has no indexer."""
    if settings.indexer is None:
        yield None
        return
    async with client_of("indexer", settings.indexer, settings, metrics) as client:
        yield Indexer(client)
