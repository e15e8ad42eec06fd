"""The intake: the one door through which pictures come in."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from colloquy.media.addresses import kind_of, read_data_url
from colloquy.media.blobs import BlobStore, StoredImage
from colloquy.media.decoding import DecodePool
from colloquy.media.failures import (
    BadImage,
    BlobMissing,
    DecodeKilled,
    ImageTooLarge,
    TooManyImages,
    UrlNotAllowed,
    at_place,
    together,
)
from colloquy.media.fetch import SafeFetcher
from colloquy.media.headers import BrokenHeader, Header, NotAnImage, read_header
from colloquy.media.metrics import MediaMetrics
from colloquy.profile import Media
from colloquy.servicekit.problems import ServiceError, UnsupportedMedia

MAX_ASPECT = 200
"""A side may be so many times the other: the vision encoders refuse longer ones."""

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_REMEMBERED = 8_192
_MAX_FAULTS = 20
_POISON_FOR_S = 300.0


@dataclass(frozen=True, slots=True)
class ImageSource:
    """A picture as the caller gave it, and where: `body/dialogue/utterances/3/content/1/…`."""

    url: str
    at: str


@dataclass(frozen=True, slots=True)
class _Arrived:
    data: bytes
    header: Header
    digest: bytes
    at: str


class Intake:
    """Takes pictures in: checked by header, decoded apart, re-encoded, stored.

    Equal pictures of one request are decoded once; those of one tenant that are still stored are
    not decoded again.
    """

    def __init__(
        self,
        settings: Media,
        blobs: BlobStore,
        decoder: DecodePool,
        *,
        fetcher: SafeFetcher | None = None,
        metrics: MediaMetrics | None = None,
    ) -> None:
        self._settings = settings
        self._blobs = blobs
        self._decoder = decoder
        self._fetcher = fetcher
        self._metrics = metrics
        self._known: OrderedDict[tuple[str, bytes], StoredImage] = OrderedDict()
        self._poison: OrderedDict[tuple[str, bytes], float] = OrderedDict()

    async def accept(
        self, tenant: str, sources: Sequence[ImageSource], *, owner: str | None = None
    ) -> list[StoredImage]:
        """Takes in the pictures of one request, in order.

        Raises:
            ServiceError: one of `failures`, with a fault for each picture that is wrong.
        """
        if len(sources) > self._settings.max_images:
            raise at_place(
                TooManyImages,
                sources[self._settings.max_images].at,
                f"a request may have at most {self._settings.max_images} images",
            )
        found: dict[str, StoredImage] = {}
        raw: dict[str, tuple[bytes, str]] = {}
        errors: list[ServiceError] = []
        for source in sources:
            if source.url in found or source.url in raw:
                continue
            try:
                match kind_of(source.url):
                    case "blob":
                        found[source.url] = await self._refer(tenant, source, owner)
                    case "data":
                        data = read_data_url(source.url, self._settings.max_image_bytes)
                        raw[source.url] = (data, source.at)
                    case "https":
                        raw[source.url] = (await self._fetch(source.url), source.at)
            except ServiceError as error:
                errors.append(_placed(error, source.at))
                if len(errors) == _MAX_FAULTS:
                    break
        if errors:
            raise self._refuse(errors)
        stored = await self._store(tenant, [*raw.values()], owner)
        found |= dict(zip(raw, stored, strict=True))
        return [found[source.url] for source in sources]

    async def accept_bytes(
        self, tenant: str, data: bytes, at: str, *, owner: str | None = None
    ) -> StoredImage:
        """Takes in one uploaded picture."""
        (stored,) = await self._store(tenant, [(data, at)], owner)
        return stored

    async def _refer(self, tenant: str, source: ImageSource, owner: str | None) -> StoredImage:
        stored = await asyncio.to_thread(self._blobs.find, tenant, source.url)
        if owner is not None:
            await asyncio.to_thread(self._blobs.retain, tenant, source.url, owner)
        self._count("referred")
        return stored

    async def _fetch(self, url: str) -> bytes:
        if self._fetcher is None:
            raise UrlNotAllowed("this installation fetches nothing: send data: or upload it first")
        return await self._fetcher.fetch(url)

    async def _store(
        self, tenant: str, pictures: Sequence[tuple[bytes, str]], owner: str | None
    ) -> list[StoredImage]:
        arrived: dict[bytes, _Arrived] = {}
        digests: list[bytes] = []
        errors: list[ServiceError] = []
        pixels = 0
        for data, at in pictures:
            digest = hashlib.sha256(data).digest()
            digests.append(digest)
            if digest in arrived:
                continue
            try:
                header = self._check(data)
                pixels += header.pixels
                if pixels > self._settings.max_request_pixels:
                    raise ImageTooLarge(
                        "the images of a request may have at most "
                        f"{self._settings.max_request_pixels} pixels together"
                    )
                if self._is_poison(tenant, digest):
                    raise BadImage("it could not be decoded before")
                arrived[digest] = _Arrived(data, header, digest, at)
            except ServiceError as error:
                errors.append(_placed(error, at))
                if len(errors) == _MAX_FAULTS:
                    break
        if errors:
            raise self._refuse(errors)
        stored = await self._take_all(tenant, list(arrived.values()), owner)
        return [stored[digest] for digest in digests]

    def _is_poison(self, tenant: str, digest: bytes) -> bool:
        """Whether the picture ended a decoder a short while ago.

        Only for a while: on a starved machine a good picture may have been the victim.
        """
        since = self._poison.get((tenant, digest))
        return since is not None and time.monotonic() - since < _POISON_FOR_S

    def _check(self, data: bytes) -> Header:
        """Everything that can be known before decoding."""
        limits = self._settings
        if not data:
            raise BadImage("it is empty")
        if len(data) > limits.max_image_bytes:
            raise ImageTooLarge(f"an image may have at most {limits.max_image_bytes} bytes")
        try:
            header = read_header(data)
        except NotAnImage:
            raise UnsupportedMedia("send a PNG, JPEG, WebP, GIF or BMP image") from None
        except BrokenHeader:
            raise BadImage("its header is damaged") from None
        if header.pixels > limits.max_image_pixels:
            raise ImageTooLarge(f"an image may have at most {limits.max_image_pixels} pixels")
        if max(header.width, header.height) > MAX_ASPECT * min(header.width, header.height):
            raise BadImage(f"one side is more than {MAX_ASPECT} times the other")
        return header

    async def _take_all(
        self, tenant: str, arrived: Sequence[_Arrived], owner: str | None
    ) -> dict[bytes, StoredImage]:
        """Decodes and stores at once; a picture that ends its decoder ends its request too."""
        tasks = [asyncio.create_task(self._take(tenant, one, owner)) for one in arrived]
        errors: list[ServiceError] = []
        stored: dict[bytes, StoredImage] = {}
        try:
            for one, task in zip(arrived, tasks, strict=True):
                try:
                    stored[one.digest] = await task
                except ServiceError as error:
                    errors.append(_placed(error, one.at))
                    if not isinstance(error, BadImage) or isinstance(error, DecodeKilled):
                        break
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if errors:
            raise self._refuse(errors)
        return stored

    async def _take(self, tenant: str, one: _Arrived, owner: str | None) -> StoredImage:
        if (known := await self._recall(tenant, one.digest, owner)) is not None:
            self._count("cached")
            return known
        try:
            picture = await self._decoder.decode(one.data, one.header, self._settings.stored_pixels)
        except DecodeKilled:
            _remember(self._poison, (tenant, one.digest), time.monotonic())
            raise
        stored = await asyncio.to_thread(
            self._blobs.put,
            tenant,
            picture.data,
            picture.media_type,
            picture.width,
            picture.height,
            owner=owner,
        )
        self._count("decoded")
        _remember(self._known, (tenant, one.digest), stored)
        return stored

    async def _recall(self, tenant: str, digest: bytes, owner: str | None) -> StoredImage | None:
        known = self._known.get((tenant, digest))
        if known is None:
            return None
        try:
            await asyncio.to_thread(self._blobs.find, tenant, known.ref)
            if owner is not None:
                await asyncio.to_thread(self._blobs.retain, tenant, known.ref, owner)
        except BlobMissing:  # swept meanwhile
            return None
        self._known.move_to_end((tenant, digest))
        return known

    def _refuse(self, errors: Sequence[ServiceError]) -> ServiceError:
        self._count("refused", len(errors))
        return together(errors)

    def _count(self, outcome: str, count: int = 1) -> None:
        if self._metrics is not None:
            self._metrics.images.labels(outcome).inc(count)


def _placed(error: ServiceError, at: str) -> ServiceError:
    """The failure of one picture with its place; ours to mend (503) needs none."""
    if error.status >= 500:
        return error
    return at_place(type(error), at, error.detail or "there is no such image")


def _remember(memory: "OrderedDict[_Key, _Value]", key: _Key, value: _Value) -> None:
    memory[key] = value
    while len(memory) > _REMEMBERED:
        memory.popitem(last=False)
