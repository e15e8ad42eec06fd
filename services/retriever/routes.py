"""HTTP in, contract out."""

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request, Response

from colloquy.contracts.operation import Readiness
from colloquy.contracts.retrieval import (
    CollectionRef,
    CollectionsOf,
    CollectionState,
    CollectionStates,
    Counted,
    CountFragments,
    DeleteFragments,
    Done,
    Embed,
    Embedded,
    FragmentPage,
    OpenCollection,
    PromoteStaged,
    Retrieve,
    Retrieved,
    ScrollFragments,
    Spaces,
    StagedRef,
    Upserted,
    UpsertFragments,
)
from services.retriever.retriever import Retriever

router = APIRouter()


def _retriever(request: Request) -> Retriever:
    return cast(Retriever, request.state.retriever)


Served = Annotated[Retriever, Depends(_retriever)]


@router.post("/v1/collections/open")
async def open_collection(body: OpenCollection, retriever: Served) -> CollectionState:
    """Makes sure that a collection is there, with these spaces."""
    return await retriever.collections.open(body)


@router.post("/v1/collections/state")
async def collection_state(body: StagedRef, retriever: Served) -> CollectionState:
    return await retriever.collections.state(body)


@router.post("/v1/collections/list")
async def list_collections(body: CollectionsOf, retriever: Served) -> CollectionStates:
    return await retriever.collections.list(body)


@router.post("/v1/collections/drop")
async def drop_collection(body: StagedRef, retriever: Served) -> Done:
    """Deletes a collection with everything in it."""
    return await retriever.collections.drop(body)


@router.post("/v1/collections/promote")
async def promote_staged(body: PromoteStaged, retriever: Served) -> CollectionState:
    """Puts the staged copy in the collection's place."""
    return await retriever.collections.promote(body)


@router.post("/v1/collections/optimise")
async def optimise_collection(body: CollectionRef, retriever: Served) -> Done:
    """Builds the graph of what is only scanned so far; searches go on meanwhile."""
    return await retriever.collections.optimise(body)


@router.post("/v1/fragments/upsert")
async def upsert_fragments(body: UpsertFragments, retriever: Served) -> Upserted:
    """Embeds and stores; answered when a crash cannot lose it."""
    return await retriever.upsert(body)


@router.post("/v1/fragments/delete")
async def delete_fragments(body: DeleteFragments, retriever: Served) -> Counted:
    return await retriever.fragments.delete(body)


@router.post("/v1/fragments/count")
async def count_fragments(body: CountFragments, retriever: Served) -> Counted:
    return await retriever.fragments.count(body)


@router.post("/v1/fragments/scroll")
async def scroll_fragments(body: ScrollFragments, retriever: Served) -> FragmentPage:
    return await retriever.fragments.scroll(body)


@router.post("/v1/retrieve")
async def retrieve(body: Retrieve, retriever: Served) -> Retrieved:
    """Proposes fragments for a query."""
    return await retriever.retrieve(body)


@router.post("/v1/embed")
async def embed(body: Embed, retriever: Served) -> Embedded:
    return await retriever.embed(body)


@router.get("/v1/spaces")
async def spaces(retriever: Served) -> Spaces:
    """Every space of the installation, and whether it can be used now."""
    return await retriever.spaces.described()


@router.get("/readyz")
async def ready(response: Response, retriever: Served) -> Readiness:
    """200 when the store and every space can be used, else 503; the checks say what is missing."""
    readiness = retriever.readiness()
    if not readiness.ready:
        response.status_code = 503
    return readiness
