"""The pictures of a request at the model's size, and where one is that cannot be had."""

import asyncio
from collections.abc import Iterator

from colloquy.contracts.content import ImagePart
from colloquy.contracts.reranking import Rerank
from colloquy.engine.serving.ask import Inquiry
from colloquy.engine.serving.pictures import Pictures
from colloquy.media.decoding import Picture
from colloquy.media.failures import BadImage, BlobMissing, TooManyImages, at_place


class RequestPictures:
    """Opens requests.

    Args:
        max_pixels: the model's budget for one picture.
        most: different pictures in one request.
    """

    def __init__(self, pictures: Pictures, *, max_pixels: int, most: int) -> None:
        self._pictures = pictures
        self._max_pixels = max_pixels
        self._most = most

    async def open(self, request: Rerank) -> Inquiry:
        """Fetches every picture, each once however often it is shown.

        Raises:
            BlobMissing, BadImage: with the place of the first that is not the tenant's, or cannot
                be read. TooManyImages.
        """
        places: dict[str, str] = {}
        for url, place in _places(request):
            places.setdefault(url, place)
        if len(places) > self._most:
            raise TooManyImages(f"a request may hold {self._most} different pictures")
        # Not a task group: the first place in the request is named, not the first to fail.
        found = await asyncio.gather(
            *(self._fit(request.tenant, url, place) for url, place in places.items()),
            return_exceptions=True,
        )
        fitted: dict[str, Picture] = {}
        for url, one in zip(places, found, strict=True):
            if isinstance(one, BaseException):
                raise one
            fitted[url] = one
        return Inquiry(request.tenant, fitted)

    async def _fit(self, tenant: str, url: str, place: str) -> Picture:
        try:
            return await self._pictures.fit(tenant, url, self._max_pixels)
        except (BlobMissing, BadImage) as error:
            why = error.detail or "there is no such picture"
            raise at_place(type(error), place, why) from None


def _places(request: Rerank) -> Iterator[tuple[str, str]]:
    """Every picture's reference and where it stands, in the order of the request."""
    shown = [("query", request.query)]
    shown += [(f"candidates/{number}", parts) for number, parts in enumerate(request.candidates)]
    for place, parts in shown:
        for number, part in enumerate(parts):
            if isinstance(part, ImagePart):
                yield part.image_url.url, f"{place}/{number}/image_url/url"
