"""The dialogues of a collection: bring them in, append to one, read back, remove."""

import hashlib
from typing import Annotated

from fastapi import APIRouter, Header, Path, Request, Response

from colloquy.contracts.collections import Accepted, Append, DialogueList, StoredDialogue
from colloquy.contracts.fragments import Label
from colloquy.contracts.indexing import DialogueRef, ListDialogues
from colloquy.media.failures import BadImage, BlobMissing, ImageTooLarge, TooManyImages
from colloquy.servicekit.context import request_id
from colloquy.servicekit.deadlines import start_deadline
from colloquy.servicekit.problems import (
    BodyTooSlow,
    CollectionMissing,
    Conflict,
    Malformed,
    NotFound,
    UnsupportedMedia,
)
from gateway.describe import COMMON, EXAMPLE_APPEND, EXAMPLE_INGEST, problems
from gateway.items import Split, elements, lines
from gateway.pipelines.ingestion import Target
from gateway.problems import Unsupported
from gateway.routes.collections import Cursor, GivenName, Limit
from gateway.routes.given import GivenIndexer, GivenIngestion, GivenSettings, GivenTenant

router = APIRouter(tags=["Dialogues"])
Id = Annotated[Label, Path(description="Of the dialogue, percent-encoded; any characters.")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=256,
        description="Of the caller's choice, 1 to 256 characters; a tenant has one set of keys for "
        "all its collections and routes. The same request under the same key again is answered "
        "with the same job, for as long as that is known; another body, collection, dialogue or "
        "route under it is a conflict (409) and changes nothing.",
    ),
]
_FORMS: dict[str, Split] = {
    "application/json": elements,
    "application/x-ndjson": lines,
    "application/ndjson": lines,
    "application/jsonl": lines,
    "application/x-jsonlines": lines,
}
_MISSING = problems(*COMMON, Malformed, Unsupported, NotFound, CollectionMissing)


@router.post(
    "/v1/collections/{name}/dialogues",
    summary="Bring dialogues into a collection",
    status_code=202,
    responses=problems(*COMMON, Malformed, Unsupported, CollectionMissing, Conflict, BodyTooSlow),
    openapi_extra=EXAMPLE_INGEST,
)
async def ingest(
    request: Request,
    response: Response,
    name: GivenName,
    tenant: GivenTenant,
    ingestion: GivenIngestion,
    key: IdempotencyKey = None,
) -> Accepted:
    """Takes a JSON list of dialogues, or one a line (NDJSON): at most 10,000, each with an `id`.

    Answers when everything is on disk; from then on nothing is lost. A body that is cut off
    acknowledges nothing. An item that is wrong is reported in the job's `errors`, with its number
    and line, and the others go on; when none is right the request is refused. Sending a dialogue
    again changes nothing, and a changed one replaces what was there.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMedia("send the body without content-encoding")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _FORMS:
        raise UnsupportedMedia("send application/json (a list) or application/x-ndjson")
    target = Target(tenant, name, key)
    accepted = await ingestion.take(target, request.receive, _FORMS[kind])
    response.headers["location"] = f"/v1/jobs/{accepted.job}"
    return accepted


@router.get(
    "/v1/collections/{name}/dialogues",
    summary="Browse a collection",
    responses=problems(*COMMON, Malformed, Unsupported, CollectionMissing),
)
async def browse(
    name: GivenName,
    tenant: GivenTenant,
    indexer: GivenIndexer,
    settings: GivenSettings,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> DialogueList:
    """Its dialogues in order of their ids, in short."""
    async with start_deadline(settings.timeout_ms(None)):
        return await indexer.dialogues(
            ListDialogues(tenant=tenant, collection=name, limit=limit, cursor=cursor)
        )


@router.post(
    "/v1/collections/{name}/dialogues/{id:path}/utterances",
    summary="Append turns to a dialogue",
    status_code=202,
    responses=_MISSING
    | problems(
        *COMMON,
        Malformed,
        BadImage,
        BlobMissing,
        Conflict,
        ImageTooLarge,
        TooManyImages,
        Unsupported,
        NotFound,
        CollectionMissing,
    ),
    openapi_extra=EXAMPLE_APPEND,
)
async def append(
    request: Request,
    response: Response,
    name: GivenName,
    id: Id,
    turns: Append,
    tenant: GivenTenant,
    ingestion: GivenIngestion,
    settings: GivenSettings,
    key: IdempotencyKey = None,
) -> Accepted:
    """Adds turns at the end of a living dialogue; their ids are given. Only what changes by them is
    indexed again."""
    # The same words said in two dialogues are two requests: one key must not drop the second.
    sha256 = hashlib.sha256(f"{len(id)} {id}\n".encode() + await request.body()).hexdigest()
    async with start_deadline(settings.timeout_ms(None)):
        accepted = await ingestion.append(Target(tenant, name, key), id, turns, sha256)
    response.headers["location"] = f"/v1/jobs/{accepted.job}"
    return accepted


@router.get(
    "/v1/collections/{name}/dialogues/{id:path}",
    summary="Read a dialogue back",
    responses=_MISSING,
)
async def get(
    name: GivenName, id: Id, tenant: GivenTenant, indexer: GivenIndexer, settings: GivenSettings
) -> StoredDialogue:
    """The dialogue as it is kept, and how it is cut into fragments."""
    async with start_deadline(settings.timeout_ms(None)):
        stored = await indexer.dialogue(DialogueRef(tenant=tenant, collection=name, dialogue_id=id))
    return stored.model_copy(update={"request_id": request_id()})


@router.delete(
    "/v1/collections/{name}/dialogues/{id:path}",
    summary="Remove a dialogue",
    status_code=204,
    responses=_MISSING,
)
async def delete(
    name: GivenName, id: Id, tenant: GivenTenant, indexer: GivenIndexer, settings: GivenSettings
) -> None:
    """Removes it with its vectors and the pictures that nothing else needs. Answers when it is
    gone; whoever does not wait for that changes nothing."""
    async with start_deadline(settings.timeout_ms(None)):
        await indexer.delete_dialogue(DialogueRef(tenant=tenant, collection=name, dialogue_id=id))
