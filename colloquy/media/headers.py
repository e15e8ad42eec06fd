"""What a picture says of itself in its first bytes, read without any decoder.

Only PNG, JPEG, WebP, GIF and BMP are known here; so nothing else ever reaches a decoder. Sources:
the formats' specifications (ISO/IEC 15948, ITU-T T.81, RFC 9649, GIF89a, the BMP DIB headers).
"""

import re
import struct
from dataclasses import dataclass
from itertools import islice

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
# Start-of-frame markers: all of FFC0..FFCF but the tables (C4), the reserved (C8) and CC.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
# With the lengths that a decoder insists on: the film behind a phone's picture holds the bare
# marker by chance.
_JPEG_SCAN = re.compile(rb"\xff\xda\x00(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")
_MAX_JPEG_SCANS = 64
_MAX_JPEG_SEGMENTS = 2_000


class NotAnImage(ValueError):
    """The bytes are of no format that is taken."""


class BrokenHeader(ValueError):
    """The format is known, but the header does not hold."""


@dataclass(frozen=True, slots=True)
class Header:
    media_type: str
    width: int
    height: int

    @property
    def pixels(self) -> int:
        return self.width * self.height

    @property
    def format(self) -> str:
        """The decoder's name of the format."""
        return self.media_type.removeprefix("image/").upper()


def read_header(data: bytes) -> Header:
    """Reads format and size.

    Raises:
        NotAnImage: no known format. BrokenHeader: cut off, or a size that cannot be.
    """
    try:
        header = _read(data)
    except (struct.error, IndexError) as error:
        raise BrokenHeader("the header is cut off") from error
    if header.width < 1 or header.height < 1:
        raise BrokenHeader("the header gives no size")
    return header


def _read(data: bytes) -> Header:
    if data.startswith(_PNG):
        return _png(data)
    if data.startswith(_JPEG):
        # Each scan decodes the whole picture again; a progressive one has about ten.
        if next(islice(_JPEG_SCAN.finditer(data), _MAX_JPEG_SCANS, None), None):
            raise BrokenHeader("it has more scans than a picture needs")
        return _jpeg(data)
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return Header("image/gif", *struct.unpack_from("<HH", data, 6))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    if data[:2] == b"BM":
        return _bmp(data)
    raise NotAnImage("the bytes are no image of a known format")


def _png(data: bytes) -> Header:
    length, kind, width, height = struct.unpack_from(">I4sII", data, 8)
    if kind != b"IHDR" or length != 13:
        raise BrokenHeader("the header is not where it must be")
    return Header("image/png", width, height)


def _jpeg(data: bytes) -> Header:
    position = 2
    for _ in range(_MAX_JPEG_SEGMENTS):
        if data[position] != 0xFF:
            raise BrokenHeader("a segment does not begin where it must")
        while data[position] == 0xFF:
            position += 1
        marker = data[position]
        position += 1
        if marker in _JPEG_BARE:
            continue
        (length,) = struct.unpack_from(">H", data, position)
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, position + 3)
            return Header("image/jpeg", width, height)
        if marker in (0xD9, 0xDA) or length < 2:
            raise BrokenHeader("there is no frame before the data")
        position += length
    raise BrokenHeader("there are too many segments before the frame")


def _webp(data: bytes) -> Header:
    kind = data[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(_exactly(data, 24, 3), "little") + 1
        height = int.from_bytes(_exactly(data, 27, 3), "little") + 1
    elif kind == b"VP8L":
        if data[20] != 0x2F:
            raise BrokenHeader("the lossless stream has no signature")
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        if _exactly(data, 23, 3) != b"\x9d\x01\x2a":
            raise BrokenHeader("the lossy stream has no start code")
        width, height = (n & 0x3FFF for n in struct.unpack_from("<HH", data, 26))
    else:
        raise BrokenHeader("the first chunk is unknown")
    return Header("image/webp", width, height)


def _bmp(data: bytes) -> Header:
    (size,) = struct.unpack_from("<I", data, 14)
    if size == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    elif 40 <= size <= 124:
        width, height = struct.unpack_from("<ii", data, 18)
    else:
        # "BM" begins many a text; without a known second header it is no picture.
        raise NotAnImage("the bytes are no image of a known format")
    return Header("image/bmp", width, abs(height))


def _exactly(data: bytes, start: int, count: int) -> bytes:
    part = data[start : start + count]
    if len(part) != count:
        raise IndexError
    return part
