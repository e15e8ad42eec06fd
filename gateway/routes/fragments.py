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
from gateway.routes.given import GivenFragments, GivenSettings, GivenTenant

router = APIRouter(tags=["Fragments"])
_DIALOGUE = (Malformed, BadImage, BlobMissing, DialogueTooLong, ImageTooLarge, TooManyImages)


@router.post(
    "/v1/fragments/search",
    summary="Find the turns and pictures of a dialogue that answer a query",
    responses=problems(*COMMON, *_DIALOGUE, Unsupported, CollectionMissing),
    openapi_extra=EXAMPLE_SEARCH,
)
async def search(
    body: FragmentSearchRequest,
    tenant: GivenTenant,
    fragments: GivenFragments,
    settings: GivenSettings,
) -> FragmentSearchResponse:
    """Sends the dialogue with its pictures to F2RVLM, which names the utterances and the pictures
    that answer `query`.

    The answer holds one fragment, or none when nothing in the dialogue answers. A fragment's
    `utterances` are the turns that it names and those that show a picture it names, in full, with
    the caller's `ref`. A picture that was sent as a `data:` URL comes back as a `blob:` reference,
    which `GET /v1/images/{ref}` answers for a while.

    Inside one dialogue the scores are null, and `top_k`, `as` and the dialogue's `acl` change
    nothing: the caller holds the dialogue already. `query_image` needs a collection.
    """
    async with start_deadline(settings.timeout_ms(body.timeout_ms)):
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
