"""Blobs that nobody needs any more."""

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, TypeVar

from colloquy.media.blobs import BlobStore
from colloquy.servicekit.problems import Unavailable
from services.indexer.ledger import releases
from services.indexer.ledger.database import Database
from services.indexer.ledger.releases import Release

P = ParamSpec("P")
Result = TypeVar("Result")


async def in_store(work: Callable[P, Result], *arguments: P.args, **named: P.kwargs) -> Result:
    """Does something with blobs, in a thread.

    Raises:
        Unavailable: the store cannot be written.
    """
    try:
        return await asyncio.to_thread(work, *arguments, **named)
    except (sqlite3.Error, OSError) as error:
        raise Unavailable("the store of pictures cannot be used now") from error


@dataclass(slots=True)
class LettingGo:
    """Does what the ledger noted. Killed in between, it is done again, and changes nothing."""

    database: Database
    blobs: BlobStore

    async def __call__(self) -> int:
        """Until nothing is due; returns how many owners let go."""
        total = 0
        while due := await self.database.read(releases.due):
            await in_store(self._release, due)
            await self.database.write(partial(releases.done, ids=[release.id for release in due]))
            total += len(due)
        return total

    def _release(self, due: list[Release]) -> None:
        for release in due:
            if release.discard:
                self.blobs.discard(release.tenant, release.owner, keep=release.keep)
            else:
                self.blobs.release(release.tenant, release.owner)
