"""Real decoders and a real store."""

import base64
import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image, ImageDraw

from colloquy.media.blobs import BlobStore
from colloquy.media.decoding import DecodePool
from colloquy.media.headers import read_header
from colloquy.media.intake import ImageSource, Intake
from colloquy.profile import Media

LIMITS = Media(decode_timeout_ms=20_000, max_images=64, stored_pixels=1_048_576)


def drawn(size: tuple[int, int] = (112, 84), mark: int = 0, mode: str = "RGB") -> Image.Image:
    """A small picture with some shapes; another `mark`, another picture."""
    picture = Image.new("RGB", size, (mark % 256, mark // 256 % 256, 90))
    draw = ImageDraw.Draw(picture)
    width, height = size
    draw.ellipse((width // 4, height // 4, width // 2, height // 2), fill=(250, 60, 20))
    draw.rectangle((width // 2, 2, width - 3, height // 3), fill=(20, 200, 90))
    return picture.convert(mode)


def encode(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def data_url(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


class Pictures:
    """What tests of this folder make pictures with."""

    drawn = staticmethod(drawn)
    encode = staticmethod(encode)
    data_url = staticmethod(data_url)

    header = staticmethod(read_header)

    @staticmethod
    def source(data: bytes, at: str = "body/image") -> ImageSource:
        return ImageSource(data_url(data), at)


@pytest.fixture(scope="session")
def pictures() -> type[Pictures]:
    return Pictures


@pytest.fixture(scope="session")
def limits() -> Media:
    return LIMITS


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def decoder(limits: Media) -> AsyncIterator[DecodePool]:
    async with DecodePool(limits) as pool:
        yield pool


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs", b"k" * 32)


@pytest.fixture
def intake(limits: Media, blobs: BlobStore, decoder: DecodePool) -> Intake:
    return Intake(limits, blobs, decoder)


Make = Callable[..., Intake]


@pytest.fixture
def make_intake(limits: Media, blobs: BlobStore, decoder: DecodePool) -> Make:
    def make(**changes: object) -> Intake:
        return Intake(limits.model_copy(update=changes), blobs, decoder)

    return make
