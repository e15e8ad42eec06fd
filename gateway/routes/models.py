"""Which models there are, as OpenAI's clients ask."""

from fastapi import APIRouter

from colloquy.contracts.operation import OpenAIModelList
from colloquy.contracts.problem import OpenAIProblem
from gateway.describe import COMMON, problems
from gateway.routes.given import GivenModels

router = APIRouter(tags=["Models"])


@router.get(
    "/v1/models", summary="List the models", responses=problems(*COMMON, model=OpenAIProblem)
)
async def models(models: GivenModels) -> OpenAIModelList:
    """The tasks and embedding spaces that are served and the version of each, in OpenAI's form."""
    return await models.listed()
