"""Sizes are read from a picture's first bytes without a decoder."""

import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from colloquy.media.headers import BrokenHeader, Header, NotAnImage, read_header


def encoded(
    kind: str, size: tuple[int, int] = (37, 21), mode: str = "RGB", **options: object
) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (encoded("PNG"), "image/png"),
        (encoded("PNG", mode="P"), "image/png"),
        (encoded("JPEG"), "image/jpeg"),
        (encoded("JPEG", progressive=True), "image/jpeg"),
        (encoded("JPEG", exif=b"Exif\0\0" + b"x" * 5_000), "image/jpeg"),
        (encoded("WEBP"), "image/webp"),
        (encoded("WEBP", lossless=True), "image/webp"),
        (encoded("WEBP", mode="RGBA"), "image/webp"),
        (encoded("WEBP", exif=b"Exif\0\0x"), "image/webp"),
        (encoded("GIF", mode="P"), "image/gif"),
        (encoded("BMP"), "image/bmp"),
    ],
)
def test_format_and_size_are_what_an_encoder_wrote(data: bytes, media_type: str) -> None:
    assert read_header(data) == Header(media_type, 37, 21)


def test_a_bmp_written_from_the_top_has_a_height_too() -> None:
    data = bytearray(encoded("BMP"))
    data[22:26] = struct.pack("<i", -21)

    assert read_header(bytes(data)).height == 21


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<!doctype html><img src=x>",
        b"%PDF-1.7",
        b"II*\0" + b"\0" * 100,
        b"MM\0*" + b"\0" * 100,
        b"\0\0\0\x0cjP  \r\n\x87\n",
        b"\0\0\0 ftypavif" + b"\0" * 40,
        b"\0\0\0 ftypheic" + b"\0" * 40,
        b"8BPS\0\1" + b"\0" * 40,
        b"BM" + b"a text that begins like a bitmap" * 3,
        b"PK\3\4",
        b"\x7fELF",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"P6 10 10 255\n",
        b"#!/bin/sh",
        b" " + encoded("PNG"),
    ],
)
def test_what_is_no_picture_we_take_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(NotAnImage):
        read_header(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
def test_a_header_cut_anywhere_is_never_more_than_broken(kind: str) -> None:
    data = encoded(kind)
    for length in range(len(data)):
        try:
            header = read_header(data[:length])
        except (NotAnImage, BrokenHeader):
            continue
        assert (header.width, header.height) == (37, 21)


@pytest.mark.parametrize(
    "data",
    [
        encoded("PNG")[:16] + struct.pack(">II", 0, 5) + encoded("PNG")[24:],
        b"\x89PNG\r\n\x1a\n" + b"\0\0\0\x0dIEND" + b"\0" * 20,
        b"GIF89a\0\0\0\0",
        b"\xff\xd8\xff\xd9\0\0",
        b"\xff\xd8\xff\xda\0\4\0\0",
        b"\xff\xd8\xff\xe0\0\0" * 9,
        b"\xff\xd8" + b"\xff\xe0\0\2" * 3_000,
        b"\xff\xd8" + b"\xff" * 1_000,
        b"RIFF\0\0\0\0WEBPVP8 " + b"\0" * 30,
        b"RIFF\0\0\0\0WEBPVP8L" + b"\0" * 30,
        b"RIFF\0\0\0\0WEBPJUNK" + b"\0" * 30,
    ],
)
def test_a_header_that_does_not_hold_is_broken(data: bytes) -> None:
    with pytest.raises(BrokenHeader):
        read_header(data)


@settings(deadline=None)
@given(
    st.sampled_from(
        [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF0000WEBP", b"BM"]
    ),
    st.binary(max_size=100),
)
def test_no_bytes_crash_the_reader(start: bytes, rest: bytes) -> None:
    try:
        header = read_header(start + rest)
    except (NotAnImage, BrokenHeader):
        return
    assert header.width > 0
    assert header.height > 0


def test_a_jpeg_of_endless_scans_is_refused_and_a_progressive_one_is_not() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    assert read_header(data).width == 64
    first = data.index(b"\xff\xda")
    with pytest.raises(BrokenHeader, match="scans"):
        read_header(data[:-2] + data[first:-2] * 300 + data[-2:])


def test_a_film_behind_a_jpeg_is_not_taken_for_scans() -> None:
    data = encoded("JPEG") + b"\xff\xda" * 1_000
    assert read_header(data).media_type == "image/jpeg"
