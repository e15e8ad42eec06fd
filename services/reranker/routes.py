"""HTTP in, contract out."""

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request, Response

from colloquy.contracts.generation import TaskModels
from colloquy.contracts.operation import Readiness
from colloquy.contracts.reranking import Rerank, Reranked
from services.reranker.reranker import Reranker

router = APIRouter()


def _reranker(request: Request) -> Reranker:
    return cast(Reranker, request.state.reranker)


Served = Annotated[Reranker, Depends(_reranker)]


@router.post("/v1/rerank")
async def rerank(body: Rerank, reranker: Served) -> Reranked:
    """Scores candidates against a query."""
    return await reranker.rerank(body)


@router.get("/v1/tasks")
async def tasks(reranker: Served) -> TaskModels:
    """The task, when it can be asked now, and the version that does it."""
    return reranker.tasks()


@router.get("/readyz")
async def ready(response: Response, reranker: Served) -> Readiness:
    """200 when candidates can be scored, else 503; the checks say what is missing."""
    readiness = await reranker.readiness()
    if not readiness.ready:
        response.status_code = 503
    return readiness
