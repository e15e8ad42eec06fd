"""Pictures that attack the intake, each with its own problem, and never the next picture."""

import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from colloquy.media.blobs import BlobStore
from colloquy.media.failures import (
    BadImage,
    ImageTooLarge,
    TooManyImages,
    UrlNotAllowed,
)
from colloquy.media.intake import ImageSource, Intake
from colloquy.servicekit.problems import ServiceError, UnsupportedMedia
from tests.integration.media.intakes import AT, assert_works

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

Attacks = dict[str, tuple[bytes, type[ServiceError]]]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 0) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(chunks) + chunk(b"IEND", b"")


def idat(raw_bytes: int) -> bytes:
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(raw_bytes >> 20))
    return chunk(b"IDAT", packed + packer.flush())


def huge_png() -> bytes:
    """20,000 x 20,000 pixels of one bit in less than 1 MB, all of them really there."""
    data = png_of(20_000, 20_000, idat(20_000 * 2_501 + (1 << 20)), depth=1)
    assert len(data) < 1_000_000
    return data


@pytest.fixture(scope="module")
def attacks(pictures: Any) -> Attacks:
    png = pictures.encode(pictures.drawn((300, 200)))
    jpeg = pictures.encode(pictures.drawn((300, 200)), "JPEG")
    gif = pictures.encode(pictures.drawn(), "GIF")
    lying = bytearray(png)
    lying[16:24] = struct.pack(">II", 200, 300)
    lying[29:33] = struct.pack(">I", zlib.crc32(lying[12:29]))
    profile = b"x\0\0" + zlib.compress(bytes(64 << 20), 1)
    text = b"x\0\0" + zlib.compress(bytes(64 << 20), 1)
    gif_frame = bytearray(gif)
    place = gif_frame.index(b"\x2c", 13 + 3 * 2)
    gif_frame[place + 5 : place + 9] = struct.pack("<HH", 60_000, 60_000)
    return {
        "empty": (b"", BadImage),
        "text": (b"hello", UnsupportedMedia),
        "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", UnsupportedMedia),
        "html": (b"<html><script>alert(1)</script>", UnsupportedMedia),
        "pdf": (b"%PDF-1.7 ...", UnsupportedMedia),
        "tiff": (pictures.encode(pictures.drawn(), "TIFF"), UnsupportedMedia),
        "ico": (pictures.encode(pictures.drawn((32, 32)), "ICO"), UnsupportedMedia),
        "truncated png": (png[: len(png) // 2], BadImage),
        "png without its end": (png[:-20], BadImage),
        "png header alone": (png[:33], BadImage),
        "truncated jpeg": (jpeg[: len(jpeg) // 2], BadImage),
        "truncated gif": (gif[: len(gif) // 2], BadImage),
        "noise after a header": (png[:33] + random.Random(6).randbytes(2_000), BadImage),
        "20,000 x 20,000 in 1 MB": (huge_png(), ImageTooLarge),
        "a header that lies": (bytes(lying), BadImage),
        "a header of 1x1 over a large stream": (png_of(1, 1, idat(64 << 20)), BadImage),
        "a gif frame larger than its screen": (bytes(gif_frame), BadImage),
        "a profile bomb": (png_of(8, 8, chunk(b"iCCP", profile), idat(1 << 20)), BadImage),
        "a text bomb": (png_of(8, 8, chunk(b"zTXt", text), idat(1 << 20)), BadImage),
        "an international text bomb": (
            png_of(8, 8, chunk(b"iTXt", b"x\0\1\0\0\0" + text[3:]), idat(1 << 20)),
            BadImage,
        ),
        "too wide": (png_of(40_000, 4, idat(1 << 20)), BadImage),
        "four billion pixels": (png_of(2**31 - 1, 2**31 - 1), ImageTooLarge),
        "jpeg without a frame": (b"\xff\xd8\xff\xd9", BadImage),
        "webp cut off": (pictures.encode(pictures.drawn(), "WEBP")[:40], BadImage),
        "bmp cut off": (pictures.encode(pictures.drawn(), "BMP")[:60], BadImage),
        "random after a jpeg start": (
            # The same each time: now and then such bytes hold a header of an enormous picture.
            b"\xff\xd8\xff" + random.Random(7).randbytes(3_000),
            BadImage,
        ),
    }


# Pillow bounds what these unpack, and then reads the picture: right as well.
HARMLESS = {"a header of 1x1 over a large stream", "png without its end"}


@pytest.mark.parametrize(
    "name",
    [
        "empty",
        "text",
        "svg",
        "html",
        "pdf",
        "tiff",
        "ico",
        "truncated png",
        "png without its end",
        "png header alone",
        "truncated jpeg",
        "truncated gif",
        "noise after a header",
        "20,000 x 20,000 in 1 MB",
        "a header that lies",
        "a header of 1x1 over a large stream",
        "a gif frame larger than its screen",
        "a profile bomb",
        "a text bomb",
        "an international text bomb",
        "too wide",
        "four billion pixels",
        "jpeg without a frame",
        "webp cut off",
        "bmp cut off",
        "random after a jpeg start",
    ],
)
async def test_an_attack_is_its_own_problem_and_the_next_picture_works(
    intake: Intake, attacks: Attacks, pictures: Any, name: str
) -> None:
    data, kind = attacks[name]
    source = ImageSource(pictures.data_url(data), AT)
    if name in HARMLESS:
        assert await intake.accept("acme", [source])
    else:
        with pytest.raises(ServiceError) as refused:
            await intake.accept("acme", [source])
        assert refused.type is kind
        assert [fault.at for fault in refused.value.faults or []] == [AT]
    await assert_works(intake, pictures)


async def test_what_a_data_url_claims_does_not_count(intake: Intake, pictures: Any) -> None:
    data = pictures.encode(pictures.drawn(), "JPEG")

    (stored,) = await intake.accept("acme", [ImageSource(pictures.data_url(data, "image/gif"), AT)])

    assert stored.media_type == "image/png"


async def test_what_hides_behind_a_picture_does_not_come_through(
    intake: Intake, blobs: BlobStore, pictures: Any
) -> None:
    polyglot = pictures.encode(pictures.drawn()) + b"<script>alert(1)</script>PK\x03\x04"

    (stored,) = await intake.accept("acme", [pictures.source(polyglot)])

    assert b"script" not in blobs.get("acme", stored.ref).data


async def test_three_hundred_images_are_refused_at_the_first_too_many(
    intake: Intake, pictures: Any
) -> None:
    url = pictures.data_url(pictures.encode(pictures.drawn()))
    sources = [ImageSource(url, f"body/images/{n}") for n in range(300)]

    with pytest.raises(TooManyImages) as refused:
        await intake.accept("acme", sources)

    assert [fault.at for fault in refused.value.faults or []] == ["body/images/64"]


async def test_the_pixels_of_a_request_are_bounded_together(
    make_intake: Callable[..., Intake], pictures: Any
) -> None:
    intake = make_intake(max_request_pixels=20_000)
    two = [pictures.source(pictures.encode(pictures.drawn(mark=n)), str(n)) for n in range(2)]

    with pytest.raises(ImageTooLarge):
        await intake.accept(
            "acme", [*two, pictures.source(pictures.encode(pictures.drawn(mark=9)))]
        )
    assert len(await intake.accept("acme", two)) == 2


async def test_every_wrong_picture_of_a_request_is_named(intake: Intake, pictures: Any) -> None:
    good, cut = pictures.encode(pictures.drawn()), pictures.encode(pictures.drawn())[:300]
    sources = [
        pictures.source(good, "0"),
        pictures.source(cut, "1"),
        pictures.source(good, "2"),
        pictures.source(cut + b"x", "3"),
    ]

    with pytest.raises(BadImage) as refused:
        await intake.accept("acme", sources)

    assert [fault.at for fault in refused.value.faults or []] == ["1", "3"]


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "/etc/passwd", "http://127.0.0.1/", "https://example.com/a.png"]
)
async def test_an_address_that_is_not_allowed_is_refused_without_repeating_it(
    intake: Intake, url: str
) -> None:
    with pytest.raises(UrlNotAllowed) as refused:
        await intake.accept("acme", [ImageSource(url, AT)])

    assert [fault.at for fault in refused.value.faults or []] == [AT]
    for word in ("passwd", "127.0.0.1", "example.com"):
        assert word not in refused.value.detail
