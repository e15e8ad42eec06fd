"""Jobs: what became of an ingestion, at once or as it goes on."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse

from colloquy.contracts.collections import Job, JobList
from colloquy.contracts.fragments import Name
from colloquy.contracts.indexing import JobRef, ListJobs
from colloquy.servicekit.context import request_id
from colloquy.servicekit.deadlines import start_deadline
from colloquy.servicekit.problems import Conflict, Malformed, NotFound
from gateway.describe import COMMON, problems
from gateway.pipelines.progress import progress_of
from gateway.problems import Unsupported
from gateway.routes.collections import Cursor, Limit
from gateway.routes.given import GivenIndexer, GivenSettings, GivenTenant

router = APIRouter(tags=["Jobs"])
Id = Annotated[str, Path(min_length=1, max_length=128, description="Of the job.")]
_MISSING = problems(*COMMON, Malformed, Unsupported, NotFound)


@router.get(
    "/v1/jobs",
    summary="List the jobs",
    responses=problems(*COMMON, Malformed, Unsupported),
)
async def listed(
    tenant: GivenTenant,
    indexer: GivenIndexer,
    settings: GivenSettings,
    collection: Annotated[Name | None, Query(description="Only those of this one.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> JobList:
    """The newest first."""
    async with start_deadline(settings.timeout_ms(None)):
        return await indexer.jobs(
            ListJobs(tenant=tenant, collection=collection, limit=limit, cursor=cursor)
        )


@router.get("/v1/jobs/{id}", summary="Look at a job", responses=_MISSING)
async def get(id: Id, tenant: GivenTenant, indexer: GivenIndexer, settings: GivenSettings) -> Job:
    """Its state, its counts, and what was wrong with which item."""
    async with start_deadline(settings.timeout_ms(None)):
        job = await indexer.job(JobRef(tenant=tenant, job=id))
    return job.model_copy(update={"request_id": request_id()})


@router.get(
    "/v1/jobs/{id}/events",
    summary="Follow a job",
    response_class=StreamingResponse,
    responses=_MISSING
    | {
        200: {
            "description": "Server-sent events: `progress` whenever something changed and `done` "
            "at the end, each with the job as its data; `problem` if it cannot be followed.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def events(id: Id, tenant: GivenTenant, indexer: GivenIndexer) -> StreamingResponse:
    """Tells of the job until it has ended. A stream that lasts too long ends without `done`: ask
    again."""
    told = progress_of(indexer, JobRef(tenant=tenant, job=id))
    first = await anext(told)  # before the status line, so a job that is not there is a 404
    return StreamingResponse(
        _with_first(first, told),
        media_type="text/event-stream",
        headers={"x-accel-buffering": "no"},  # proxies pass events on as they come
    )


@router.delete(
    "/v1/jobs/{id}",
    summary="Cancel a job",
    responses=problems(*COMMON, Malformed, Unsupported, NotFound, Conflict),
)
async def cancel(
    id: Id, tenant: GivenTenant, indexer: GivenIndexer, settings: GivenSettings
) -> Job:
    """Leaves out what was not begun; what is indexed stays. The job says `cancelling` until what
    was begun has ended."""
    async with start_deadline(settings.timeout_ms(None)):
        return await indexer.cancel_job(JobRef(tenant=tenant, job=id))


async def _with_first(first: str, others: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    async for event in others:
        yield event
