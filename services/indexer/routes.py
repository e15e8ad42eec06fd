"""HTTP in, contract out."""

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request, Response

from colloquy.contracts.collections import (
    Collection,
    CollectionList,
    DialogueList,
    Job,
    JobList,
    StoredDialogue,
)
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
    Summary,
)
from colloquy.contracts.operation import Readiness
from colloquy.contracts.retrieval import CollectionRef, Done
from services.indexer.indexer import Indexer

router = APIRouter()


def _indexer(request: Request) -> Indexer:
    return cast(Indexer, request.state.indexer)


Served = Annotated[Indexer, Depends(_indexer)]


@router.post("/v1/collections/put")
async def put_collection(body: PutCollection, indexer: Served) -> Collection:
    return await indexer.collections.put(body)


@router.post("/v1/collections/get")
async def get_collection(body: CollectionRef, indexer: Served) -> Collection:
    return await indexer.collections.get(body)


@router.post("/v1/collections/list")
async def list_collections(body: ListCollections, indexer: Served) -> CollectionList:
    return await indexer.collections.list_page(body)


@router.post("/v1/collections/drop")
async def drop_collection(body: CollectionRef, indexer: Served) -> Done:
    return await indexer.collections.drop(body)


@router.post("/v1/jobs/open")
async def open_job(body: OpenJob, indexer: Served) -> OpenedJob:
    """Begins an ingestion, or gives back the one that an equal request made."""
    return await indexer.take_in.open(body)


@router.post("/v1/jobs/items")
async def add_items(body: AddItems, indexer: Served) -> Done:
    return await indexer.take_in.add(body)


@router.post("/v1/jobs/seal")
async def seal_job(body: SealJob, indexer: Served) -> OpenedJob:
    """Accepts everything at once: when this has answered, it is on the disk."""
    return await indexer.take_in.seal(body)


@router.post("/v1/jobs/get")
async def get_job(body: JobRef, indexer: Served) -> Job:
    return await indexer.dialogues.job(body)


@router.post("/v1/jobs/list")
async def list_jobs(body: ListJobs, indexer: Served) -> JobList:
    return await indexer.dialogues.jobs(body)


@router.post("/v1/jobs/cancel")
async def cancel_job(body: JobRef, indexer: Served) -> Job:
    return await indexer.dialogues.cancel(body)


@router.post("/v1/dialogues/get")
async def get_dialogue(body: DialogueRef, indexer: Served) -> StoredDialogue:
    return await indexer.dialogues.get(body)


@router.post("/v1/dialogues/list")
async def list_dialogues(body: ListDialogues, indexer: Served) -> DialogueList:
    return await indexer.dialogues.list_page(body)


@router.post("/v1/dialogues/delete")
async def delete_dialogue(body: DialogueRef, indexer: Served) -> Done:
    """Answers when it is gone."""
    return await indexer.dialogues.delete(body)


@router.post("/v1/dialogues/append")
async def append_turns(body: AppendTurns, indexer: Served) -> OpenedJob:
    return await indexer.take_in.append(body)


@router.post("/v1/erase")
async def erase(body: EraseTraces, indexer: Served) -> Job:
    return await indexer.dialogues.erase(body)


@router.post("/v1/reindex")
async def reindex(body: Reindex, indexer: Served) -> Job:
    return await indexer.dialogues.reindex(body)


@router.get("/v1/summary")
async def summary(indexer: Served) -> Summary:
    """Counts of the whole ledger."""
    return await indexer.dialogues.summary()


@router.get("/readyz")
async def ready(response: Response, indexer: Served) -> Readiness:
    """200 when something could be accepted, else 503; the checks say what is missing."""
    readiness = await indexer.readiness()
    if not readiness.ready:
        response.status_code = 503
    return readiness
