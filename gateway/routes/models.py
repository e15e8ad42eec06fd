"""Which models there are, as OpenAI's clients ask."""

from fastapi import APIRouter

from colloquy.contracts.operation import OpenAIModel, OpenAIModelList
from gateway.describe import COMMON, problems
from gateway.routes.given import GivenGenerator

router = APIRouter(tags=["Models"])


@router.get("/v1/models", summary="List the models", responses=problems(*COMMON))
async def models(generator: GivenGenerator) -> OpenAIModelList:
    """The tasks that are served and the version of each, in OpenAI's form."""
    served = await generator.tasks()
    return OpenAIModelList(
        data=[OpenAIModel(id=task.model, created=task.created) for task in served.tasks]
    )
