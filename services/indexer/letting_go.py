"""Blobs that nobody needs any more."""

import asyncio
from dataclasses import dataclass
from functools import partial

from colloquy.media.blobs import BlobStore
from services.indexer.ledger import releases
from services.indexer.ledger.database import Database
from services.indexer.ledger.releases import Release


@dataclass(slots=True)
class LettingGo:
    """Does what the ledger noted. Killed in between, it is done again, and changes nothing."""

    database: Database
    blobs: BlobStore

    async def __call__(self) -> int:
        """Until nothing is due; returns how many owners let go."""
        total = 0
        while due := await self.database.read(releases.due):
            await asyncio.to_thread(self._release, due)
            await self.database.write(partial(releases.done, ids=[release.id for release in due]))
            total += len(due)
        return total

    def _release(self, due: list[Release]) -> None:
        for release in due:
            if release.discard:
                self.blobs.discard(release.tenant, release.owner, keep=release.keep)
            else:
                self.blobs.release(release.tenant, release.owner)
