"""Taking dialogues in: jobs that are opened, filled and sealed; turns that are added."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Connection

from colloquy.contracts.collections import ItemError
from colloquy.contracts.content import Dialogue
from colloquy.contracts.indexing import (
    AddItems,
    AppendTurns,
    DialogueRef,
    JobRef,
    OpenedJob,
    OpenJob,
    SealJob,
)
from colloquy.contracts.retrieval import Done
from colloquy.media.blobs import BlobStore
from colloquy.media.failures import BlobMissing, at_place
from colloquy.servicekit.problems import Conflict
from services.indexer.domain import new_job_id
from services.indexer.ledger import acceptance, growth, releases
from services.indexer.ledger.database import Database
from services.indexer.letting_go import in_store

_ADOPTED_WITHIN_S = 3_600.0
_TRIES = 5
GONE = "the picture is not in the store (any more)"


@dataclass(slots=True)
class TakeIn:
    """The use cases."""

    database: Database
    blobs: BlobStore
    wake: Callable[[], None]

    async def open(self, asked: OpenJob) -> OpenedJob:
        return await self.database.write(lambda db: acceptance.open_job(db, asked))

    async def add(self, asked: AddItems) -> Done:
        """Takes items in; their pictures are kept from now on. A picture that is not there is the
        item's error, not the request's."""
        owners = await self.database.write(lambda db: acceptance.add_items(db, asked))
        # After the rows are there: whatever happens now, the job's end lets these owners go.
        missing = await in_store(self._retain_all, asked.tenant, owners)
        if missing:
            positions = {f"{asked.job}:{item.position}": item for item in asked.items}
            errors = [
                ItemError(
                    item=positions[owner].position,
                    dialogue_id=positions[owner].dialogue.id,
                    at=_place_of(positions[owner].dialogue, image),
                    why=GONE,
                )
                for owner, image in missing.items()
            ]
            job = JobRef(tenant=asked.tenant, job=asked.job)
            await self.database.write(lambda db: acceptance.refuse_items(db, job, errors))
        return Done()

    async def seal(self, asked: SealJob) -> OpenedJob:
        sealed = await self.database.write(lambda db: acceptance.seal_job(db, asked))
        self.wake()
        return sealed

    async def append(self, asked: AppendTurns) -> OpenedJob:
        """Adds turns to the end of a dialogue, as it will be when all that waits is done.

        Raises:
            NotFound: there is no such dialogue.
            Conflict: it has another number of turns than expected.
            BlobMissing: a picture is not there.
        """
        ref = DialogueRef(
            tenant=asked.tenant, collection=asked.collection, dialogue_id=asked.dialogue_id
        )
        for _ in range(_TRIES):
            base = await self.database.read(lambda db: growth.base_of(db, ref))
            owner = f"{new_job_id()}:append"
            await self._about_to_own(asked.tenant, owner)
            held = await in_store(self._retain_for, asked, base, owner)

            def accept(
                db: Connection, held: frozenset[str] = held, owner: str = owner
            ) -> OpenedJob | None:
                return growth.accept_turns(db, asked, held, owner)

            opened = await self.database.write(accept)
            if opened is not None:
                self.wake()
                return opened
        raise Conflict("the dialogue changes too fast; try again")

    async def _about_to_own(self, tenant: str, owner: str) -> None:
        await self.database.write(
            lambda db: releases.let_go_unless_adopted(db, tenant, owner, _ADOPTED_WITHIN_S)
        )

    def _retain_for(self, asked: AppendTurns, base: Sequence[str], owner: str) -> frozenset[str]:
        held = set()
        for image in base:
            with suppress(BlobMissing):  # lost before; the dialogue may grow all the same
                self.blobs.retain(asked.tenant, image, owner)
            held.add(image)
        for image, turn in zip(asked.dialogue.images, asked.dialogue.image_owners(), strict=True):
            try:
                self.blobs.retain(asked.tenant, image, owner)
            except BlobMissing:
                raise at_place(BlobMissing, f"utterances/{turn}/content", GONE) from None
            held.add(image)
        return frozenset(held)

    def _retain_all(
        self, tenant: str, owners: Sequence[tuple[str, Sequence[str]]]
    ) -> dict[str, int]:
        """The first picture of each owner that is not there."""
        missing: dict[str, int] = {}
        for owner, images in owners:
            for number, image in enumerate(images):
                try:
                    self.blobs.retain(tenant, image, owner)
                except BlobMissing:
                    missing[owner] = number
                    break
        return missing


def _place_of(dialogue: Dialogue, image: int) -> str:
    return f"utterances/{dialogue.image_owners()[image]}/content"
