"""Pictures: upload one, get it back."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import ValidationError
from starlette.types import Receive

from colloquy.contracts.images import ImageUpload, UploadedImage
from colloquy.media.failures import BadImage, BlobMissing, ImageTooLarge
from colloquy.servicekit.bodies import parse_json, read_body
from colloquy.servicekit.context import request_id
from colloquy.servicekit.deadlines import start_deadline
from colloquy.servicekit.faults import faults_of
from colloquy.servicekit.problems import Malformed, UnsupportedMedia
from gateway.describe import COMMON, EXAMPLE_UPLOAD, problems
from gateway.pictures import WIDTHS
from gateway.routes.given import GivenPictures, GivenSettings, GivenTenant

router = APIRouter(tags=["Images"])
_KEEP_S = 3_600


@router.post(
    "/v1/images",
    summary="Upload a picture",
    responses=problems(*COMMON, Malformed, BadImage, ImageTooLarge, UnsupportedMedia),
    openapi_extra=EXAMPLE_UPLOAD,
)
async def upload(
    request: Request, tenant: GivenTenant, pictures: GivenPictures, settings: GivenSettings
) -> UploadedImage:
    """Takes a picture as the body itself (`Content-Type: image/…`) or inside JSON as a `data:` URL,
    and answers a reference that stands wherever an image URL may stand.

    The picture is decoded, turned upright, freed of metadata and kept as PNG or JPEG. Equal
    pictures of one tenant have one reference; no other tenant's key opens it. An upload that
    nothing refers to is forgotten after a while.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMedia("send the body without content-encoding")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    async with start_deadline(settings.timeout_ms(None)):
        if kind.startswith("image/"):
            stored = await pictures.upload(tenant, await read_body(request.receive))
        elif kind == "application/json":
            upload = await _read_upload(request.receive)
            stored = await pictures.upload_from(tenant, upload.image)
        else:
            raise UnsupportedMedia("send the picture as image/* or as application/json")
    return UploadedImage(
        ref=stored.ref,
        media_type=stored.media_type,
        width=stored.width,
        height=stored.height,
        bytes=stored.bytes,
        request_id=request_id(),
    )


@router.get(
    "/v1/images/{ref}",
    summary="Get a picture",
    response_class=Response,
    responses=problems(*COMMON, Malformed, BlobMissing)
    | {
        200: {
            "description": "The picture.",
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}}
                for kind in ("image/png", "image/jpeg")
            },
        },
        304: {"description": "The caller has it: `If-None-Match` held."},
    },
)
async def download(
    request: Request,
    ref: Annotated[str, Path(max_length=128, description="`blob:…`, from an upload or an answer.")],
    tenant: GivenTenant,
    pictures: GivenPictures,
    w: Annotated[int | None, Query(description="At most so wide, in pixels.", enum=WIDTHS)] = None,
) -> Response:
    """The picture behind a reference, as it was kept, or shrunk to a width of the list."""
    if w is not None and w not in WIDTHS:
        raise Malformed(f"query/w must be one of {', '.join(map(str, WIDTHS))}")
    picture = await pictures.read(tenant, ref, w)
    tag = f'"{ref.removeprefix("blob:")}-{w or "whole"}"'
    # A reference names its content, so what it names never changes; the caches of others may not
    # keep it, since it is one tenant's.
    headers = {
        "cache-control": f"private, max-age={_KEEP_S}, immutable",
        "etag": tag,
        "vary": "authorization",
        "content-security-policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
        "content-disposition": "inline",
    }
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(picture.data, media_type=picture.media_type, headers=headers)


async def _read_upload(receive: Receive) -> ImageUpload:
    value = parse_json(await read_body(receive))
    try:
        return ImageUpload.model_validate(value)
    except ValidationError as error:
        findings = [finding | {"loc": ("body", *finding["loc"])} for finding in error.errors()]
        faults = faults_of(findings, value)
        first = faults[0]
        raise Malformed(f"{first.at} {first.why}", faults=faults) from None
