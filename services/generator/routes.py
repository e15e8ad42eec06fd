"""HTTP in, contract out."""

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request, Response

from colloquy.contracts.generation import (
    FragmentAnswer,
    FragmentTask,
    SplitAnswer,
    SplitTask,
    TaskModels,
)
from colloquy.contracts.operation import Readiness
from colloquy.servicekit.problems import NotFound
from services.generator.generator import Generator

router = APIRouter()


def _generator(request: Request) -> Generator:
    return cast(Generator, request.state.generator)


Served = Annotated[Generator, Depends(_generator)]


@router.post("/v1/fragment")
async def retrieve_fragment(body: FragmentTask, generator: Served) -> FragmentAnswer:
    """Finds the utterances and pictures of a dialogue that answer a query."""
    if generator.retrieve_fragment is None:
        raise NotFound("the profile has no task `fragment`")
    return await generator.retrieve_fragment(body)


@router.post("/v1/split")
async def split_dialogue(body: SplitTask, generator: Served) -> SplitAnswer:
    """Cuts a dialogue into topics."""
    if generator.split_dialogue is None:
        raise NotFound("the profile has no task `split`")
    return await generator.split_dialogue(body)


@router.get("/v1/tasks")
async def tasks(generator: Served) -> TaskModels:
    """The tasks that can be asked now, and the version that does each."""
    return generator.tasks()


@router.get("/readyz")
async def ready(response: Response, generator: Served) -> Readiness:
    """200 when every task can be served, else 503; the checks say what is missing."""
    readiness = generator.readiness()
    if not readiness.ready:
        response.status_code = 503
    return readiness
