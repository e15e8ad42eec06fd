"""A large body on its way in: on disk, whole or not at all."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from starlette.types import Receive

from colloquy.servicekit.problems import ClientGone, Unavailable

_CHUNK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Spool:
    """A body that has arrived whole; `file` stands at its beginning."""

    file: BinaryIO
    bytes: int
    sha256: str


@asynccontextmanager
async def spooled(receive: Receive, folder: Path) -> AsyncIterator[Spool]:
    """Receives a body into a file that has no name, so nothing is left however this process ends.

    Its size is bounded by `BoundBody` outside.

    Raises:
        ClientGone: the client left before it was complete. Unavailable: the disk does not take it.
    """
    file = await asyncio.to_thread(_open, folder)
    try:
        yield await _receive(receive, file)
    finally:
        file.close()


def _open(folder: Path) -> BinaryIO:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cast(BinaryIO, tempfile.TemporaryFile(dir=folder))
    except OSError:
        raise Unavailable("bodies cannot be kept on the disk now") from None


async def _receive(receive: Receive, file: BinaryIO) -> Spool:
    digest, held, size = hashlib.sha256(), bytearray(), 0

    def write(data: bytes) -> None:
        digest.update(data)
        try:
            file.write(data)
        except OSError:
            raise Unavailable("the disk is full") from None

    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        more = message.get("more_body", False)
        held += message.get("body", b"")
        if len(held) >= _CHUNK_BYTES or not more:
            size += len(held)
            await asyncio.to_thread(write, bytes(held))
            held.clear()
    file.seek(0)
    return Spool(file, size, digest.hexdigest())
