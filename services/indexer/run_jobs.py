"""The steps of jobs that have steps: erasures and reindexes."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from colloquy.contracts.retrieval import SpaceState
from colloquy.servicekit.problems import CollectionMissing, ServiceError
from services.indexer.ledger import erasure, reindexing
from services.indexer.ledger.collections import find_shelf
from services.indexer.ledger.database import Database
from services.indexer.ledger.jobs import (
    counts_of,
    end_job,
    forget_spec,
    pending_items,
)
from services.indexer.ledger.runs import Run, go_on, put_down, take_run
from services.indexer.letting_go import LettingGo
from services.indexer.points import Points, Target

_LOOK_AGAIN_S = 0.25
_AFTER_FAILURE_S = 2.0
Step = Callable[[Run], Awaitable[bool]]
"""Does one step; true when there is nothing to do but wait."""


@dataclass(slots=True)
class RunJobs:
    """Killed at any step, a job goes on with that step: each can be done twice."""

    database: Database
    points: Points
    letting_go: LettingGo
    owner: str
    lease_s: float
    wake: Callable[[], None]

    async def __call__(self) -> bool:
        """Does the next step of some job; false when none has one to do."""
        run = await self.database.write(lambda db: take_run(db, self.owner, self.lease_s))
        if run is None:
            return False
        wait_s = 0.0
        try:
            if await self._step_of(run)(run):
                wait_s = _LOOK_AGAIN_S
        except ServiceError:
            wait_s = _AFTER_FAILURE_S
        finally:
            await self.database.write(lambda db: put_down(db, run, self.owner, wait_s))
        self.wake()
        return True

    def _step_of(self, run: Run) -> Step:
        steps: dict[str, Step] = {
            erasure.WAITING: self._scrub_waiting,
            erasure.INDEXED: self._find_indexed,
            erasure.REST: self._wait_for_items,
            erasure.FORGET: self._forget,
            reindexing.PREPARE: self._prepare,
            reindexing.COPYING: self._copying,
            reindexing.PROMOTE: self._promote,
            reindexing.UNDO: self._undo,
        }
        return steps[run.phase]

    # --- erasing

    async def _scrub_waiting(self, run: Run) -> bool:
        await self.database.write(lambda db: erasure.scrub_waiting(db, run))
        return False

    async def _find_indexed(self, run: Run) -> bool:
        await self.database.write(lambda db: erasure.find_indexed(db, run))
        return False

    async def _wait_for_items(self, run: Run) -> bool:
        def look(db: Connection) -> bool:
            if pending_items(db, run.id):
                return True
            go_on(db, run, erasure.FORGET)
            return False

        return await self.database.write(look)

    async def _forget(self, run: Run) -> bool:
        await self.letting_go()
        # Before it is said to be done nothing is left, not even whom it was about.
        await self.database.write(lambda db: forget_spec(db, run.id))
        await self.database.forget()

        def end(db: Connection) -> None:
            receipt = erasure.receipt_of(db, run.id)
            end_job(db, run.id, "failed" if counts_of(db, run.id).failed else "done", receipt)

        await self.database.write(end)
        return False

    # --- reindexing

    async def _prepare(self, run: Run) -> bool:
        ref = reindexing.collection_of(run)
        shelf = await self.database.read(lambda db: find_shelf(db, ref))
        if shelf is None or shelf.dropping:
            await self._end_reindex(run, "cancelled")
            return False
        staged = Target(run.tenant, ref.collection, staged=True)
        await self.points.drop(staged)  # what an earlier attempt left
        await self.points.open(staged, shelf.kind, [space.name for space in shelf.spaces])
        await self.database.write(lambda db: reindexing.begin_copies(db, run))
        return False

    async def _copying(self, run: Run) -> bool:
        def look(db: Connection) -> bool:
            if pending_items(db, run.id):
                return True
            bad = reindexing.failed_copies(db, run.id)
            go_on(db, run, reindexing.UNDO if bad else reindexing.PROMOTE)
            return False

        return await self.database.write(look)

    async def _promote(self, run: Run) -> bool:
        live = Target(run.tenant, reindexing.collection_of(run).collection)
        try:
            state = await self.points.promote(live)
        except CollectionMissing:
            # Promoted already, by a step whose end was not written down.
            state = await self.points.state(live)
        await self._end_reindex(run, "done", state.spaces)
        return False

    async def _undo(self, run: Run) -> bool:
        # Writers stop first: what they write to a copy that is not there would be in vain.
        writing = await self.database.write(lambda db: reindexing.stop_copying(db, run))
        staged = Target(run.tenant, reindexing.collection_of(run).collection, staged=True)
        await self.points.drop(staged)
        if not writing:
            bad = await self.database.read(lambda db: reindexing.failed_copies(db, run.id))
            await self._end_reindex(run, "failed" if bad else "cancelled")
        return writing

    async def _end_reindex(self, run: Run, state: str, spaces: Sequence[SpaceState] = ()) -> None:
        await self.database.write(lambda db: reindexing.end_reindex(db, run, state, spaces))
