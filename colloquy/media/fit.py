"""Pictures at the size a task's protocol asks for."""

import asyncio
import hashlib
from collections import OrderedDict

from colloquy.media.blobs import Blob, BlobReader
from colloquy.media.decoding import DecodePool, Picture
from colloquy.media.headers import read_header

_CACHE_BYTES = 64 * 2**20


async def fit_pixels(decoder: DecodePool, data: bytes, max_pixels: int) -> Picture:
    """`data` with at most `max_pixels`; untouched where it fits already."""
    header = read_header(data)
    if header.pixels <= max_pixels:
        return Picture(data, header.media_type, header.width, header.height)
    return await decoder.decode(data, header, max_pixels)


class Fitter:
    """Stored pictures within a budget, remembered so that one dialogue is not shrunk twice."""

    def __init__(
        self, blobs: BlobReader, decoder: DecodePool, *, cache_bytes: int = _CACHE_BYTES
    ) -> None:
        self._blobs = blobs
        self._decoder = decoder
        self._cache_bytes = cache_bytes
        self._held_bytes = 0
        self._cache: OrderedDict[tuple[str, str, int], Picture] = OrderedDict()

    async def fit(self, tenant: str, ref: str, max_pixels: int) -> Picture:
        """The picture that `ref` names for `tenant`, with at most `max_pixels`.

        Raises:
            BlobMissing: there is none, for this tenant.
        """
        key = (tenant, ref, max_pixels)
        if (known := self._cache.get(key)) is not None:
            self._cache.move_to_end(key)
            return known
        blob: Blob = await asyncio.to_thread(self._blobs.get, tenant, ref)
        picture = await fit_pixels(self._decoder, blob.data, max_pixels)
        self._keep(key, picture)
        return picture

    def _keep(self, key: tuple[str, str, int], picture: Picture) -> None:
        if key in self._cache or len(picture.data) > self._cache_bytes:
            return
        self._cache[key] = picture
        self._held_bytes += len(picture.data)
        while self._held_bytes > self._cache_bytes:
            _, dropped = self._cache.popitem(last=False)
            self._held_bytes -= len(dropped.data)


def content_key(tenant: str, data: bytes) -> str:
    """Names the bytes that are sent, for one tenant: what an engine may cache them by."""
    return hashlib.sha256(tenant.encode() + b"\0" + data).hexdigest()
