"""Vectors and rankings in the forms that others' clients speak."""

from fastapi import APIRouter

from colloquy.contracts.embeddings import (
    EmbeddingsRequest,
    EmbeddingsResponse,
    RerankRequest,
    RerankResponse,
)
from colloquy.contracts.problem import OpenAIProblem
from colloquy.media.failures import BadImage, BlobMissing, ImageTooLarge, TooManyImages
from colloquy.servicekit.deadlines import start_deadline
from colloquy.servicekit.problems import Malformed
from gateway.describe import COMMON, EXAMPLE_EMBEDDINGS, EXAMPLE_RERANK, problems
from gateway.problems import ModelMissing, Unsupported
from gateway.routes.given import GivenEmbeddings, GivenReranking, GivenSettings, GivenTenant

router = APIRouter(tags=["For tools that already exist"])
_KINDS = (
    *COMMON,
    Malformed,
    BadImage,
    BlobMissing,
    ImageTooLarge,
    TooManyImages,
    ModelMissing,
    Unsupported,
)
_PROBLEMS = problems(*_KINDS)


@router.post(
    "/v1/embeddings",
    summary="Vectors of texts and pictures",
    responses=problems(*_KINDS, model=OpenAIProblem),
    openapi_extra=EXAMPLE_EMBEDDINGS,
)
async def embeddings(
    body: EmbeddingsRequest,
    tenant: GivenTenant,
    embeddings: GivenEmbeddings,
    settings: GivenSettings,
) -> EmbeddingsResponse:
    """OpenAI's form, with pictures: an input is a text, a `data:` URL of an image, an OpenAI part,
    a list of parts (embedded together), or Jina's `{"text": …}` and `{"image": …}`. vLLM's
    `messages` are one input.

    `model` is a space or its version. `input_type` (Cohere) and `task` (Jina) tell a query from a
    document. Vectors have length 1.
    """
    async with start_deadline(settings.timeout_ms(None)):
        return await embeddings.embed(tenant, body)


@router.post(
    "/v1/rerank",
    summary="Order documents by a query",
    responses=_PROBLEMS,
    openapi_extra=EXAMPLE_RERANK,
)
async def rerank(
    body: RerankRequest,
    tenant: GivenTenant,
    reranking: GivenReranking,
    settings: GivenSettings,
) -> RerankResponse:
    """Jina's and Cohere's form, with pictures in the query and the documents, in the shapes that
    `/v1/embeddings` takes. `relevance_score` is P(Yes); with `mode: listwise` (ours, at most ten
    documents) the probability of the document's number.

    A document for which the time did not suffice is not among the results, and `degraded` says so.
    """
    async with start_deadline(settings.timeout_ms(body.timeout_ms)):
        return await reranking.rerank(tenant, body)


@router.post(
    "/v2/rerank",
    summary="Order documents by a query (Cohere's address)",
    responses=_PROBLEMS,
    openapi_extra=EXAMPLE_RERANK,
)
async def rerank_2(
    body: RerankRequest,
    tenant: GivenTenant,
    reranking: GivenReranking,
    settings: GivenSettings,
) -> RerankResponse:
    """The same as `/v1/rerank`."""
    return await rerank(body, tenant, reranking, settings)
