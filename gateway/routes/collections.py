"""Collections: make one, look at it, drop it."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from colloquy.contracts.collections import Collection, CollectionList, CollectionSpec, Erase, Job
from colloquy.contracts.fragments import Name
from colloquy.contracts.indexing import EraseTraces, ListCollections, PutCollection, Reindex
from colloquy.contracts.retrieval import CollectionRef
from colloquy.servicekit.deadlines import start_deadline
from colloquy.servicekit.problems import (
    CollectionMissing,
    Conflict,
    Malformed,
    TooManyCollections,
)
from gateway.describe import COMMON, EXAMPLE_COLLECTION, EXAMPLE_ERASE, problems
from gateway.problems import Unsupported
from gateway.routes.given import GivenIndexer, GivenSettings, GivenTenant

router = APIRouter(tags=["Collections"])
GivenName = Annotated[Name, Path(description="Of the collection.")]
Limit = Annotated[int, Query(ge=1, le=1_000, description="Of one page.")]
Cursor = Annotated[
    str | None, Query(max_length=1_024, description="`next` of the page before this one.")
]


@router.put(
    "/v1/collections/{name}",
    summary="Make a collection",
    responses=problems(*COMMON, Malformed, Unsupported, Conflict, TooManyCollections),
    openapi_extra=EXAMPLE_COLLECTION,
)
async def put(
    name: GivenName,
    spec: CollectionSpec,
    tenant: GivenTenant,
    indexer: GivenIndexer,
    settings: GivenSettings,
) -> Collection:
    """Makes the collection, or says what it is like when it is there already. `spaces` cannot be
    changed afterwards; `retention_days` can."""
    if spec.kind != "dialogues":
        raise Unsupported("collections of documents are not supported; `kind` is `dialogues`")
    async with start_deadline(settings.timeout_ms(None)):
        return await indexer.put_collection(
            PutCollection(
                tenant=tenant,
                collection=name,
                spec=spec,
                max_collections=settings.tenant.max_collections,
            )
        )


@router.get(
    "/v1/collections",
    summary="List the collections",
    responses=problems(*COMMON, Malformed, Unsupported),
)
async def listed(
    tenant: GivenTenant,
    indexer: GivenIndexer,
    settings: GivenSettings,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> CollectionList:
    """Every collection of the tenant, with its counts and spaces."""
    async with start_deadline(settings.timeout_ms(None)):
        return await indexer.collections(ListCollections(tenant=tenant, limit=limit, cursor=cursor))


@router.get(
    "/v1/collections/{name}",
    summary="Look at a collection",
    responses=problems(*COMMON, Malformed, Unsupported, CollectionMissing),
)
async def get(
    name: GivenName, tenant: GivenTenant, indexer: GivenIndexer, settings: GivenSettings
) -> Collection:
    """Its spaces, and how much of it can be searched already."""
    async with start_deadline(settings.timeout_ms(None)):
        return await indexer.collection(CollectionRef(tenant=tenant, collection=name))


@router.delete(
    "/v1/collections/{name}",
    summary="Drop a collection",
    status_code=204,
    responses=problems(*COMMON, Malformed, Unsupported, CollectionMissing),
)
async def drop(
    name: GivenName, tenant: GivenTenant, indexer: GivenIndexer, settings: GivenSettings
) -> None:
    """Removes it with everything in it: dialogues, vectors, and the pictures that nothing else
    needs. Answers when it is gone; whoever does not wait for that changes nothing."""
    async with start_deadline(settings.timeout_ms(None)):
        await indexer.drop_collection(CollectionRef(tenant=tenant, collection=name))


@router.post(
    "/v1/collections/{name}/reindex",
    summary="Make a collection's vectors anew",
    status_code=202,
    responses=problems(*COMMON, Malformed, Unsupported, CollectionMissing, Conflict),
)
async def reindex(
    name: GivenName, tenant: GivenTenant, indexer: GivenIndexer, settings: GivenSettings
) -> Job:
    """Embeds everything again with the models that are served now, beside what is searched, which
    is replaced at once when the new vectors are complete."""
    async with start_deadline(settings.timeout_ms(None)):
        return await indexer.reindex(Reindex(tenant=tenant, collection=name))


@router.post(
    "/v1/erase",
    summary="Erase a person everywhere",
    status_code=202,
    responses=problems(*COMMON, Malformed, Unsupported),
    openapi_extra=EXAMPLE_ERASE,
)
async def erase(
    what: Erase, tenant: GivenTenant, indexer: GivenIndexer, settings: GivenSettings
) -> Job:
    """Erases what a speaker said, or every dialogue with this metadata, from all collections:
    vectors, pictures, caches, ledger. The job's `receipt` counts what went."""
    async with start_deadline(settings.timeout_ms(None)):
        return await indexer.erase(EraseTraces(tenant=tenant, what=what))
