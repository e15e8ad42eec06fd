"""Search in one dialogue, and split it."""

from fastapi import APIRouter

from colloquy.contracts.fragments import (
    FragmentSearchRequest,
    FragmentSearchResponse,
    SplitRequest,
    SplitResponse,
)
from colloquy.media.failures import BadImage, BlobMissing, ImageTooLarge, TooManyImages
from colloquy.servicekit.deadlines import start_deadline
from colloquy.servicekit.problems import Malformed
from gateway.describe import COMMON, EXAMPLE_SEARCH, EXAMPLE_SPLIT, problems
from gateway.problems import CollectionMissing, DialogueTooLong, Unsupported
from gateway.routes.given import GivenCorpus, GivenFragments, GivenSettings, GivenTenant

router = APIRouter(tags=["Fragments"])
_DIALOGUE = (Malformed, BadImage, BlobMissing, DialogueTooLong, ImageTooLarge, TooManyImages)


@router.post(
    "/v1/fragments/search",
    summary="Find the turns and pictures that answer a query, in a dialogue or a collection",
    responses=problems(*COMMON, *_DIALOGUE, Unsupported, CollectionMissing),
    openapi_extra=EXAMPLE_SEARCH,
)
async def search(
    body: FragmentSearchRequest,
    tenant: GivenTenant,
    fragments: GivenFragments,
    corpus: GivenCorpus,
    settings: GivenSettings,
) -> FragmentSearchResponse:
    """Searches in the `dialogue` that the request brings, or in a `collection`.

    **In a dialogue** F2RVLM reads all of it and names the utterances and the pictures that answer
    `query`: one fragment, or none. A fragment's `utterances` are the turns that it names and those
    that show a picture it names, in full, with the caller's `ref`. A picture that was sent as a
    `data:` URL comes back as a `blob:` reference, which `GET /v1/images/{ref}` answers for a while.
    The scores are null, and `top_k`, `as` and the dialogue's `acl` change nothing: the caller holds
    the dialogue already. `query_image` needs a collection.

    **In a collection** hybrid retrieval proposes `candidates` fragments for `query`, `query_image`
    or both; they are ranked as `rerank` says (left out: `pointwise` where there is a reranker); the
    best are read by F2RVLM (`refine`), which names what answers in each, and one of which nothing
    answers is dropped. The rest comes dialogue by dialogue, with the scores of its best fragment,
    best first. `filter` and `as` bound who may be found. `retrieval` is the cosine in the
    collection's first space. `final` is the score of rank fusion without reranking; for
    `pointwise` that score with P(Yes) as one voice more, or the cosine and P(Yes) together where a
    single method searched; the probability of the candidate's number for `listwise`, where
    what did not fit into the list follows with null.

    `degraded` names what was left out because it failed or the time did not suffice:
    `retrieve-<method>` a way of retrieving, `rerank-listwise` a pointwise ranking stands for a
    listwise one, `rerank-partial` some candidates have no P(Yes), `rerank` nothing was ranked,
    `refine` some fragments are given as they were retrieved (always for a query without text, which
    F2RVLM cannot be asked).
    """
    async with start_deadline(settings.timeout_ms(body.timeout_ms)):
        if body.collection is not None:
            return await corpus.search(tenant, body)
        return await fragments.search(tenant, body)


@router.post(
    "/v1/fragments/split",
    summary="Split a dialogue into its topics",
    responses=problems(*COMMON, *_DIALOGUE),
    openapi_extra=EXAMPLE_SPLIT,
)
async def split(
    body: SplitRequest,
    tenant: GivenTenant,
    fragments: GivenFragments,
    settings: GivenSettings,
) -> SplitResponse:
    """Gives every utterance to exactly one topic. The topics come in the order of the dialogue."""
    async with start_deadline(settings.timeout_ms(body.timeout_ms)):
        return await fragments.split(tenant, body)
