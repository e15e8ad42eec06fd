"""The pictures of a request: in through the intake, out as the caller knows them."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress

from colloquy.contracts.content import Content, Dialogue, ImagePart, ImageUrl, TextPart, Utterance
from colloquy.contracts.operation import Check
from colloquy.media.blobs import BlobStore, StoredImage
from colloquy.media.decoding import DecodePool, Picture
from colloquy.media.fetch import SafeFetcher
from colloquy.media.fit import Fitter
from colloquy.media.intake import ImageSource, Intake
from gateway.metrics import Metrics
from gateway.settings import Settings

WIDTHS = (64, 128, 256, 512, 1024)
"""What a picture may be asked at, so that nobody can make us shrink it without end."""

Placed = tuple[TextPart | ImagePart, str]
"""A content part, and the place of its picture or text in the request."""

_NOBODY = "readiness"
_SWEEP_EVERY_S = 3_600.0
# The store notes a use once an hour, and a request may last some minutes: what was used within
# this time is never swept, so pictures of a running request need no owner.
_NEVER_SWEPT_S = 2 * 3_600


class Pictures:
    """Args:
    max_images: that the intake takes at once.
    """

    def __init__(
        self, intake: Intake, blobs: BlobStore, decoder: DecodePool, max_images: int
    ) -> None:
        self._intake = intake
        self._blobs = blobs
        self._decoder = decoder
        self._max_images = max_images
        self._fitter = Fitter(blobs, decoder)

    async def take_in(self, tenant: str, dialogue: Dialogue, at: str) -> Dialogue:
        """The dialogue as services see it: every picture a blob reference, nothing but what a
        model needs.

        Pictures that came as data are kept for a while, so that references in the answer work.

        Raises:
            ServiceError: a picture is wrong; the faults name the places below `at`.
        """
        refs = await self._refs(tenant, _sources(dialogue, at))
        turns = [
            Utterance(id=turn.id, speaker=turn.speaker, content=_referring(turn.content, refs))
            for turn in dialogue.utterances
        ]
        return Dialogue(utterances=turns)

    async def take_in_whole(self, tenant: str, dialogue: Dialogue, at: str) -> Dialogue:
        """The dialogue as it is kept: every picture a blob reference, everything else as it came.

        A kept dialogue may show more pictures than a request that a model must answer.

        Raises:
            ServiceError: as `take_in`.
        """
        listed = list(_sources(dialogue, at))
        taken: list[str] = []
        for start in range(0, len(listed), self._max_images):
            taken += await self._refs(tenant, listed[start : start + self._max_images])
        refs = iter(taken)
        turns = [
            turn.model_copy(update={"content": _referring(turn.content, refs)})
            for turn in dialogue.utterances
        ]
        return dialogue.model_copy(update={"utterances": turns})

    async def take_in_parts(
        self, tenant: str, contents: Sequence[Sequence[Placed]]
    ) -> list[list[TextPart | ImagePart]]:
        """Contents of no dialogue, with blob references for pictures.

        Raises:
            ServiceError: a picture is wrong; the faults name the places.
        """
        sources = [
            ImageSource(part.image_url.url, at)
            for content in contents
            for part, at in content
            if isinstance(part, ImagePart)
        ]
        refs = await self._refs(tenant, sources)
        return [
            [
                ImagePart.of(next(refs)) if isinstance(part, ImagePart) else part
                for part, _ in content
            ]
            for content in contents
        ]

    async def take_in_one(self, tenant: str, image: ImageUrl, at: str) -> str:
        """The reference of one picture.

        Raises:
            ServiceError: it is wrong; the fault names `at`.
        """
        (stored,) = await self._intake.accept(tenant, [ImageSource(image.url, at)])
        return stored.ref

    async def _refs(self, tenant: str, sources: Iterable[ImageSource]) -> Iterator[str]:
        listed = list(sources)
        images = await self._intake.accept(tenant, listed) if listed else []
        return iter([image.ref for image in images])

    async def upload(self, tenant: str, data: bytes) -> StoredImage:
        return await self._intake.accept_bytes(tenant, data, "body")

    async def upload_from(self, tenant: str, image: ImageUrl) -> StoredImage:
        (stored,) = await self._intake.accept(tenant, [ImageSource(image.url, "body/image/url")])
        return stored

    async def read(self, tenant: str, ref: str, width: int | None) -> Picture:
        """A stored picture, at most `width` wide where that is given.

        Raises:
            BlobMissing: there is none, for this tenant.
        """
        if width is not None:
            whole = await asyncio.to_thread(self._blobs.find, tenant, ref)
            if whole.width > width:
                height = max(1, width * whole.height // whole.width)
                return await self._fitter.fit(tenant, ref, width * height)
        blob = await asyncio.to_thread(self._blobs.get, tenant, ref)
        return Picture(blob.data, blob.media_type, blob.width, blob.height)

    async def checks(self) -> list[Check]:
        """Whether pictures can be taken in now."""
        detail = None
        try:
            # Takes the lock that every write needs, and changes nothing.
            await asyncio.to_thread(self._blobs.release, _NOBODY, _NOBODY)
        except (sqlite3.Error, OSError):
            detail = "the blob store cannot be written"
        return [Check(name="blobs", ready=detail is None, detail=detail), self._decoder.check()]


@asynccontextmanager
async def open_pictures(settings: Settings, metrics: Metrics) -> AsyncIterator[Pictures]:
    limits, key = settings.media, settings.blob_key.get_secret_value().encode()
    async with AsyncExitStack() as stack:
        blobs = stack.enter_context(closing(BlobStore(settings.blobs_dir, key)))
        decoder = await stack.enter_async_context(DecodePool(limits, metrics=metrics.media))
        fetcher = None
        if limits.fetch.enabled:
            fetcher = SafeFetcher(limits.fetch, max_bytes=limits.max_image_bytes)
            stack.push_async_callback(fetcher.close)
        await stack.enter_async_context(swept(blobs, limits.unowned_ttl_s))
        intake = Intake(limits, blobs, decoder, fetcher=fetcher, metrics=metrics.media)
        yield Pictures(intake, blobs, decoder, limits.max_images)


def as_caller_knows(given: Utterance, stored: Utterance) -> Utterance:
    """The caller's own turn; a picture that came as data is shown by its reference."""
    if not given.images:
        return given
    parts = [
        part if not isinstance(part, ImagePart) or not _is_data(part.image_url.url) else other
        for part, other in zip(given.parts, stored.parts, strict=True)
    ]
    return given.model_copy(update={"content": parts})


@asynccontextmanager
async def swept(blobs: BlobStore, unowned_ttl_s: float) -> AsyncIterator[None]:
    """Deletes forgotten pictures every hour while the gateway runs."""

    async def sweep() -> None:
        while True:
            with suppress(OSError, sqlite3.Error):
                await asyncio.to_thread(blobs.sweep, max(unowned_ttl_s, _NEVER_SWEPT_S))
            await asyncio.sleep(_SWEEP_EVERY_S)

    task = asyncio.create_task(sweep())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _sources(dialogue: Dialogue, at: str) -> Iterator[ImageSource]:
    for turn in dialogue.utterances:
        if isinstance(turn.content, str):
            continue
        for position, part in enumerate(turn.content):
            if isinstance(part, ImagePart):
                place = f"{at}/utterances/{turn.id}/content/{position}/image_url/url"
                yield ImageSource(part.image_url.url, place)


def _referring(content: Content, refs: Iterator[str]) -> Content:
    if isinstance(content, str):
        return content
    return [
        ImagePart(image_url=ImageUrl(url=next(refs), detail=part.image_url.detail))
        if isinstance(part, ImagePart)
        else part
        for part in content
    ]


def _is_data(url: str) -> bool:
    return url[:5].lower() == "data:"
