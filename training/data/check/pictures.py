"""Whether the pictures of a record are there and can be decoded."""

import asyncio
import os
import stat
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import Self

from colloquy.media.decoding import DecodePool
from colloquy.media.headers import BrokenHeader, NotAnImage, read_header
from colloquy.profile import Media
from colloquy.servicekit.problems import ServiceError

MAX_BYTES = 64 * 2**20
MAX_PIXELS = 100_000_000
_REMEMBERED = 10_000
_SMALL_PIXELS = 4_096  # all of it is decoded, little of it is encoded again
_DECODER = Media(workers=1, decode_timeout_ms=30_000)


class Pictures:
    """Decodes in a process of its own that can be killed; a picture that hangs it fails alone.

    Args:
        folder: where paths begin that do not begin with `/`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runner = asyncio.Runner()
        self._pool = DecodePool(_DECODER, eager=False)
        self._known: OrderedDict[str, str | None] = OrderedDict()

    def __enter__(self) -> Self:
        self._runner.run(self._pool.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._runner.run(self._pool.__aexit__(None, None, None))
        self._runner.close()

    def why_not(self, path: str) -> str | None:
        """What is wrong with the picture at a path, or None; the same path is decoded once."""
        if path in self._known:
            self._known.move_to_end(path)
            return self._known[path]
        why = self._known[path] = self._why_not(path)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return why

    def _why_not(self, path: str) -> str | None:
        try:
            data = _read(self._folder / path)
        except FileNotFoundError:
            return "there is no such file"
        except OSError as error:
            return error.strerror or "cannot be read"
        except ValueError:
            return "is not the name of a file"
        if isinstance(data, str):
            return data
        try:
            header = read_header(data)
        except NotAnImage:
            return "is no PNG, JPEG, WebP, GIF or BMP"
        except BrokenHeader as error:
            return str(error)
        if header.pixels > MAX_PIXELS:
            return f"has {header.width} x {header.height} pixels; that is too large"
        try:
            self._runner.run(self._pool.decode(data, header, _SMALL_PIXELS))
        except ServiceError as error:
            return error.detail or error.title
        return None


def _read(path: Path) -> bytes | str:
    """The bytes of a file, or why they were not read."""
    kind = os.stat(path)
    if not stat.S_ISREG(kind.st_mode):
        return "is not a file"
    if kind.st_size > MAX_BYTES:
        return f"is larger than {MAX_BYTES // 2**20} MiB"
    data = path.read_bytes()
    return data or "is empty"
