"""Dialogues read back, listed, deleted; people erased; collections built anew."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from colloquy.contracts.collections import DialogueList, Job, JobList, StoredDialogue
from colloquy.contracts.indexing import (
    DialogueRef,
    EraseTraces,
    JobRef,
    ListDialogues,
    ListJobs,
    Reindex,
    Summary,
)
from colloquy.contracts.retrieval import Done
from services.indexer.ledger import (
    cancelling,
    dialogues,
    erasure,
    housekeeping,
    jobs,
    reindexing,
)
from services.indexer.ledger.database import Database
from services.indexer.letting_go import LettingGo

_LOOK_AGAIN_S = 0.02


@dataclass(slots=True)
class KeepDialogues:
    """The use cases."""

    database: Database
    letting_go: LettingGo
    wake: Callable[[], None]

    async def get(self, ref: DialogueRef) -> StoredDialogue:
        return await self.database.read(lambda db: dialogues.read_dialogue(db, ref))

    async def list_page(self, asked: ListDialogues) -> DialogueList:
        found, following = await self.database.read(lambda db: dialogues.list_dialogues(db, asked))
        return DialogueList(dialogues=found, next=following)

    async def delete(self, ref: DialogueRef) -> Done:
        """Answers when it is gone from what is searched, from the ledger and from the blobs.

        A caller that gives up waiting changes nothing: the deletion is accepted and will be done.
        """
        await self.database.write(lambda db: dialogues.accept_deletion(db, ref))
        self.wake()
        # Another indexer of the ledger may be the one that does it: nothing here would hear of it.
        while await self.database.read(lambda db: dialogues.is_being_deleted(db, ref)):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_AGAIN_S)
        await self.letting_go()
        return Done()

    async def erase(self, asked: EraseTraces) -> Job:
        job = await self.database.write(lambda db: erasure.accept_erasure(db, asked))
        self.wake()
        return await self.job(JobRef(tenant=asked.tenant, job=job))

    async def reindex(self, asked: Reindex) -> Job:
        job = await self.database.write(lambda db: reindexing.accept_reindex(db, asked))
        self.wake()
        return await self.job(JobRef(tenant=asked.tenant, job=job))

    async def job(self, ref: JobRef) -> Job:
        return await self.database.read(lambda db: jobs.read_job(db, ref))

    async def jobs(self, asked: ListJobs) -> JobList:
        found, following = await self.database.read(lambda db: jobs.list_jobs(db, asked))
        return JobList(jobs=found, next=following)

    async def cancel(self, ref: JobRef) -> Job:
        return await self.database.write(lambda db: cancelling.cancel_job(db, ref))

    async def summary(self) -> Summary:
        return await self.database.read(housekeeping.summarise)
