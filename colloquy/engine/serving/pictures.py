"""Pictures of a dialogue at a task's size."""

import asyncio
import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Protocol

from colloquy.engine.requests import EngineImage
from colloquy.media.blobs import BlobReader
from colloquy.media.decoding import DecodePool, Picture
from colloquy.media.failures import BadImage
from colloquy.media.fit import Fitter, fit_pixels

# Qwen2-VL makes one token of 28x28 pixels, both sides rounded, and a few at least of any picture.
_TOKEN_SIDE_PIXELS = 28
_LEAST_TOKENS = 16
_MARKS = 2


class Pictures(Protocol):
    """Where the pictures of a dialogue come from."""

    async def fit(self, tenant: str, url: str, max_pixels: int, /) -> Picture: ...


class StoredPictures:
    """Of requests: references of the tenant's own blobs."""

    def __init__(self, blobs: BlobReader, decoder: DecodePool) -> None:
        self._fitter = Fitter(blobs, decoder)

    async def fit(self, tenant: str, url: str, max_pixels: int) -> Picture:
        return await self._fitter.fit(tenant, url, max_pixels)


class WrittenPictures:
    """Of probes: written out in the checkpoint's manifest as data URLs."""

    def __init__(self, decoder: DecodePool) -> None:
        self._decoder = decoder

    async def fit(self, _tenant: str, url: str, max_pixels: int) -> Picture:
        head, _, data = url.partition(";base64,")
        try:
            if not head.startswith("data:image/"):
                raise BadImage("the picture is not written out")
            return await fit_pixels(
                self._decoder, base64.b64decode(data, validate=True), max_pixels
            )
        except binascii.Error as error:
            raise BadImage("the picture is not base64") from error


async def fit_all(
    pictures: Pictures, tenant: str, urls: Iterable[str], max_pixels: int
) -> Mapping[str, Picture]:
    """Every picture of a dialogue by its reference; each is read once however often it is shown."""
    wanted = list(dict.fromkeys(urls))
    fitted = await asyncio.gather(*(pictures.fit(tenant, url, max_pixels) for url in wanted))
    return dict(zip(wanted, fitted, strict=True))


def engine_image(picture: Picture) -> EngineImage:
    return EngineImage(picture.data, picture.media_type)


def most_tokens(picture: Picture) -> int:
    """Never fewer than the Qwen2-VL family makes of a picture of this size."""
    columns = picture.width // _TOKEN_SIDE_PIXELS + 1
    rows = picture.height // _TOKEN_SIDE_PIXELS + 1
    return max(_LEAST_TOKENS, rows * columns) + _MARKS
