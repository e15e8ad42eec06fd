"""A ledger with one collection, and what its tests do with it again and again."""

from typing import Any

from colloquy.contracts.content import Dialogue
from colloquy.contracts.indexing import (
    AddItems,
    DialogueRef,
    Item,
    JobRef,
    OpenJob,
    SealJob,
)
from colloquy.contracts.retrieval import CollectionRef, SpaceState
from services.indexer.domain import Kept, Outcome, Work, content_of, pieces_of
from services.indexer.ledger import (
    acceptance,
    cancelling,
    collections,
    dialogues,
    jobs,
    leases,
)
from services.indexer.ledger.database import Database

SHELF = CollectionRef(tenant="acme", collection="family")
SPACE = SpaceState(name="clip", revision="clip@1", dimensions=8)
BODY = "0" * 64
LEASE_S = 30.0


class Ledger:
    """A ledger with one collection, and what is done with it again and again."""

    def __init__(self, database: Database) -> None:
        self.write = database.write
        self.read = database.read

    async def open(self, key: str | None = None, body: str = BODY, shelf: Any = SHELF) -> str:
        asked = OpenJob(**shelf.model_dump(), idempotency_key=key, body_sha256=body)
        return (await self.write(lambda db: acceptance.open_job(db, asked))).job

    async def add(self, job: str, *told: Dialogue, first: int = 0) -> None:
        items = [Item(position=first + i, dialogue=one) for i, one in enumerate(told)]
        asked = AddItems(tenant="acme", job=job, items=items)
        await self.write(lambda db: acceptance.add_items(db, asked))

    async def seal(self, job: str) -> Any:
        return await self.write(lambda db: acceptance.seal_job(db, SealJob(tenant="acme", job=job)))

    async def send(self, *told: Dialogue, key: str | None = None) -> str:
        job = await self.open(key)
        await self.add(job, *told)
        await self.seal(job)
        return job

    async def send_as(self, tenant: str, count: int) -> str:
        """Sends so many dialogues of another tenant."""
        shelf = CollectionRef(tenant=tenant, collection="family")

        def accept(db: Any) -> str:
            if collections.find_shelf(db, shelf) is None:
                collections.add_shelf(db, shelf, "dialogues", [SPACE], None)
            asked = OpenJob(**shelf.model_dump(), body_sha256=BODY)
            job = acceptance.open_job(db, asked).job
            items = [Item(position=n, dialogue=talk(f"d{n:04}")) for n in range(count)]
            acceptance.add_items(db, AddItems(tenant=tenant, job=job, items=items))
            acceptance.seal_job(db, SealJob(tenant=tenant, job=job))
            return job

        return await self.write(accept)

    async def lease(self, owner: str = "one", limit: int = 10) -> list[Work]:
        return await self.write(lambda db: leases.lease(db, owner, LEASE_S, limit))

    async def complete(self, *outcomes: Outcome, owner: str = "one") -> leases.Completed:
        return await self.write(lambda db: leases.complete(db, owner, outcomes))

    async def index_all(self, owner: str = "one") -> list[Work]:
        """Takes all that is there and says that it is indexed."""
        done = []
        while work := await self.lease(owner):
            await self.complete(*(indexed(one) for one in work), owner=owner)
            done += work
        return done

    async def job(self, job: str, tenant: str = "acme") -> Any:
        return await self.read(lambda db: jobs.read_job(db, JobRef(tenant=tenant, job=job)))

    async def cancel(self, job: str) -> Any:
        ref = JobRef(tenant="acme", job=job)
        return await self.write(lambda db: cancelling.cancel_job(db, ref))

    async def stored(self, identity: str) -> Any:
        ref = DialogueRef(**SHELF.model_dump(), dialogue_id=identity)
        return await self.read(lambda db: dialogues.read_dialogue(db, ref))


def talk(identity: str, *texts: str, speaker: str = "Ana") -> Dialogue:
    turns = [{"speaker": speaker, "content": text} for text in texts or ("hello",)]
    return Dialogue.model_validate({"id": identity, "utterances": turns})


def indexed(work: Work) -> Outcome:
    if work.action != "put":
        return Outcome(work, "indexed", gone=work.action == "delete")
    dialogue = Dialogue.model_validate_json(work.content or "")
    pieces = pieces_of(dialogue, {0: range(len(dialogue.utterances))})
    revision = (work.stored.revision if work.stored else 0) + 1
    kept = Kept(dialogue, content_of(dialogue), revision, pieces, work.blob_owner)
    return Outcome(work, "indexed", kept=kept)
