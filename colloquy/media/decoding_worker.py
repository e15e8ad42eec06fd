"""The decoder: a process of its own that turns hostile bytes into a plain picture.

It is started by path with an empty environment, imports nothing of the project, holds no socket
but its own pair, and is limited in memory, files and cores. Whoever started it kills it when it
takes too long. One request and one reply after another, each a header and a body:

request: format, width, height, budget in pixels, length; the picture's bytes
reply: status, media type, width, height, length; the new bytes
"""

import io
import os
import resource
import socket
import struct
import sys
from typing import Any

REQUEST = struct.Struct("!8sIIQQ")
REPLY = struct.Struct("!B16sIIQ")
READY, DONE, BROKEN, TOO_LARGE, MISMATCH = range(1, 6)

_OPAQUE = (255, 255, 255)
# Above it an uncompressed copy is larger than what JPEG at 95 loses; below, PNG is always small.
_SMALL_PIXELS = 65_536
_JPEG_QUALITY = 95
_MAX_REQUEST_BYTES = 1 << 28


def main(memory_mib: int) -> None:
    channel = socket.socket(fileno=int(sys.argv[2]))
    _limit(memory_mib)
    from PIL import Image, ImageFile, WebPImagePlugin  # noqa: F401 - registers itself

    ImageFile.LOAD_TRUNCATED_IMAGES = False
    Image.MAX_IMAGE_PIXELS = None  # the size is checked against the header's before decoding
    Image.preinit()
    channel.sendall(REPLY.pack(READY, b"", 0, 0, 0))
    while True:
        head = _receive(channel, REQUEST.size)
        if head is None:
            return
        kind, width, height, budget, length = REQUEST.unpack(head)
        if length > _MAX_REQUEST_BYTES:
            return
        data = _receive(channel, length)
        if data is None:
            return
        _reply(channel, kind.rstrip(b"\0").decode(), (width, height), budget, data)


def _limit(memory_mib: int) -> None:
    memory = memory_mib * 1_048_576
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def _receive(channel: socket.socket, count: int) -> "bytes | None":
    """Exactly `count` bytes; None when the other side is gone."""
    data = bytearray(count)
    view = memoryview(data)
    while len(view):
        got = channel.recv_into(view)
        if got == 0:
            return None
        view = view[got:]
    return bytes(data)


def _reply(
    channel: socket.socket,
    kind: str,
    size: "tuple[int, int]",
    budget: int,
    data: bytes,
) -> None:
    try:
        status, media_type, new_size, body = _serve(kind, size, budget, data)
    except MemoryError:
        status, media_type, new_size, body = TOO_LARGE, b"", (0, 0), b""
    except Exception:  # noqa: BLE001 - whatever a decoder raises, the picture is at fault
        status, media_type, new_size, body = BROKEN, b"", (0, 0), b""
    channel.sendall(REPLY.pack(status, media_type, *new_size, len(body)) + body)
    if status == TOO_LARGE:
        os._exit(0)  # the memory may be in pieces; a fresh process is cheap


def _serve(
    kind: str, size: "tuple[int, int]", budget: int, data: bytes
) -> "tuple[int, bytes, tuple[int, int], bytes]":
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(data), formats=[kind]) as opened:
        if opened.size != size:
            return MISMATCH, b"", (0, 0), b""
        if kind == "JPEG":
            opened.draft("RGB", _at_least(size, budget))
        opened.seek(0)
        opened.load()
        picture = ImageOps.exif_transpose(opened)
        lossy = kind == "JPEG"
        picture = _shrink(_opaque(picture), budget)
    media_type, body = _encode(picture, lossy=lossy)
    return DONE, media_type, picture.size, body


def _opaque(picture: Any) -> Any:
    """RGB, whatever came: transparent parts on white, 16 bit scaled to 8."""
    from PIL import Image

    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        # Converting clips at 255; sixteen bits are scaled instead.
        picture = picture.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    if "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        layered = picture.convert("RGBA")
        ground = Image.new("RGB", picture.size, _OPAQUE)
        ground.paste(layered, mask=layered.getchannel("A"))
        return ground
    return picture.convert("RGB")


def _at_least(size: "tuple[int, int]", budget: int) -> "tuple[int, int]":
    """What a JPEG may be decoded down to before it is shrunk to the budget properly."""
    width, height = fitted(size, budget)
    return (min(size[0], width * 2), min(size[1], height * 2))


def _shrink(picture: Any, budget: int) -> Any:
    from PIL import Image

    size = fitted(picture.size, budget)
    if size == picture.size:
        return picture
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def fitted(size: "tuple[int, int]", budget: int) -> "tuple[int, int]":
    """The largest size of the same shape with at most `budget` pixels."""
    width, height = size
    if width * height <= budget:
        return size
    scale = (budget / (width * height)) ** 0.5
    # The shorter side first: it may not vanish, and the other then obeys the budget.
    new_width = max(1, int(width * scale))
    new_height = max(1, min(int(height * scale), budget // new_width))
    return (max(1, min(new_width, budget // new_height)), new_height)


def _encode(picture: Any, *, lossy: bool) -> "tuple[bytes, bytes]":
    """New bytes without any metadata: PNG, or JPEG for a photo that it makes much smaller."""
    pixels = picture.size[0] * picture.size[1]
    if lossy and pixels > _SMALL_PIXELS:
        return b"image/jpeg", _jpeg(picture)
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=6 if pixels <= _SMALL_PIXELS else 2)
    png = out.getvalue()
    if pixels > _SMALL_PIXELS and len(png) > pixels:
        jpeg = _jpeg(picture)
        if len(jpeg) * 2 < len(png):
            return b"image/jpeg", jpeg
    return b"image/png", png


def _jpeg(picture: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=_JPEG_QUALITY, subsampling=0, optimize=False)
    return out.getvalue()


if __name__ == "__main__":
    main(int(sys.argv[1]))
