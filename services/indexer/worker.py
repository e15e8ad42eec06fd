"""The loops of an indexer: take work up, do it, write down how it ended, hold the leases."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from colloquy.servicekit.problems import CollectionMissing, Conflict, ServiceError
from services.indexer.domain import Outcome, TookTooLong, Work
from services.indexer.index_item import IndexItem
from services.indexer.ledger import leases
from services.indexer.ledger.collections import find_shelf
from services.indexer.ledger.database import Database
from services.indexer.metrics import Metrics
from services.indexer.points import Points, Target
from services.indexer.settings import Tuning

_log = logging.getLogger(__name__)
_AFTER_FAILURE_S = 1.0
_FIRST_WAIT_S = 0.25
_UNTIL_REINDEXED_S = 5.0
_NOT_NOW = frozenset({429, 499, 503, 504})
_WRITTEN_TOGETHER = 128
# How often a loop does its round; a round that fails is repeated, and the metrics say so.
Round = Callable[[], Awaitable[None]]


@dataclass
class Worker:
    """Does what the ledger has to do; any number of these may share a ledger.

    Args:
        owner: names this process in the leases; no two may ever share it.
    """

    database: Database
    index_item: IndexItem
    points: Points
    tuning: Tuning
    metrics: Metrics
    owner: str

    def __post_init__(self) -> None:
        self._more = asyncio.Event()
        self._room = asyncio.Event()
        self._running: dict[int, asyncio.Task[None]] = {}
        self._ended: asyncio.Queue[tuple[Outcome, float]] = asyncio.Queue()
        self._held_until = time.monotonic() + self.tuning.lease_s
        self._together = _WRITTEN_TOGETHER
        self._gave_up = False

    def wake(self) -> None:
        """There is work that this process itself accepted."""
        self._more.set()

    async def run(self) -> None:
        """Works until it is cancelled; then gives back what it holds."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forever("take", self._take))
                group.create_task(self._forever("complete", self._complete))
                group.create_task(self._forever("hold", self._hold))
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)
            await asyncio.shield(self.database.write(lambda db: leases.give_back(db, self.owner)))

    async def _forever(self, name: str, round_: Round) -> None:
        while True:
            try:
                await round_()
                self.metrics.failing.labels(name).set(0)
            except ServiceError as error:
                self.metrics.failing.labels(name).set(1)
                _log.warning("the loop `%s` goes on after: %s", name, error.title)
                await asyncio.sleep(_AFTER_FAILURE_S)
            except Exception as error:  # noqa: BLE001 - the next round may succeed; this one is told
                self.metrics.failing.labels(name).set(1)
                _log.error("an unexpected error ended a round of `%s`", name, exc_info=error)
                await asyncio.sleep(_AFTER_FAILURE_S)

    async def _take(self) -> None:
        room = self.tuning.in_flight - len(self._running)
        if room < max(1, self.tuning.in_flight // 4):
            self._room.clear()
            await self._room.wait()
            return
        self._more.clear()
        work = await self.database.write(
            lambda db: leases.lease(db, self.owner, self.tuning.lease_s, room)
        )
        for one in work:
            self._running[one.id] = asyncio.create_task(self._do(one))
        if not work:
            try:
                async with asyncio.timeout(self.tuning.poll_s):
                    await self._more.wait()
            except TimeoutError:
                return

    async def _do(self, work: Work) -> None:
        started = time.perf_counter()
        try:
            outcome = await self.index_item(work)
        except CollectionMissing:
            outcome = await self._after_missing(work)
        except ServiceError as error:
            outcome = self._after(work, error)
        except Exception as error:  # noqa: BLE001 - one item's; the others go on
            _log.error("an unexpected error ended an attempt", exc_info=error)
            outcome = self._after(work, ServiceError("it could not be indexed"))
        await self._ended.put((outcome, started))

    def _after(self, work: Work, error: ServiceError) -> Outcome:
        """What becomes of an item that `error` stopped."""
        wait_s = self._wait_s(work)
        if error.status in _NOT_NOW:
            return Outcome(work, "waiting", wait_s=wait_s)
        if isinstance(error, Conflict):  # a space has another model now: it waits for a reindex
            return Outcome(work, "waiting", wait_s=max(wait_s, _UNTIL_REINDEXED_S))
        if work.is_ours or work.failures + 1 < self.tuning.max_failures:
            tried_s = error.tried_s if isinstance(error, TookTooLong) else 0.0
            return Outcome(work, "waiting", wait_s=wait_s, own_fault=True, tried_s=tried_s)
        fault = error.faults[0] if error.faults else None
        return Outcome(work, "mend", at=fault.at if fault else "", why=error.detail or error.title)

    async def _after_missing(self, work: Work) -> Outcome:
        """The retriever has lost the collection, or it is being dropped or promoted just now."""
        target = Target(work.tenant, work.collection)
        try:
            shelf = await self.database.read(lambda db: find_shelf(db, target.ref))
            if shelf is not None and not shelf.dropping:
                await self.points.open(target, shelf.kind, [space.name for space in shelf.spaces])
        except ServiceError as error:
            return self._after(work, error)
        return Outcome(work, "waiting", wait_s=self._wait_s(work))

    def _wait_s(self, work: Work) -> float:
        """Longer each time; not the same for all, or they would all come back at once."""
        doubled = _FIRST_WAIT_S * 2.0 ** min(work.attempts - 1, 12)
        return min(doubled, self.tuning.longest_wait_s) * random.uniform(0.5, 1.0)

    async def _complete(self) -> None:
        """Writes down what has ended, all of it in one transaction."""
        ended = [await self._ended.get()]
        while len(ended) < self._together and not self._ended.empty():
            ended.append(self._ended.get_nowait())
        outcomes = [outcome for outcome, _ in ended]
        try:
            told = await self.database.write(lambda db: leases.complete(db, self.owner, outcomes))
        except Exception:
            for one in ended:  # not written: once more, alone, in case that one is in the way
                self._ended.put_nowait(one)
            self._together = 1
            raise
        self._together = _WRITTEN_TOGETHER
        now = time.perf_counter()
        for outcome, started in ended:
            self._running.pop(outcome.work.id, None)
            self.metrics.seconds.labels(outcome.work.action).observe(now - started)
        self._room.set()
        self._more.set()  # what waited for one of these can go on
        for outcome in told.counted:
            self._count(outcome)
        for outcome in told.lost:
            self.metrics.items.labels(outcome.work.action, "lost").inc()

    def _count(self, outcome: Outcome) -> None:
        state = "unchanged" if outcome.unchanged else outcome.state
        if outcome.work.why is not None or state == "mend":
            state = "failed"
        self.metrics.items.labels(outcome.work.action, state).inc()
        if outcome.degraded is not None:
            self.metrics.degraded.inc()

    async def _hold(self) -> None:
        """Renews the leases; where that fails for too long, the work is given up."""
        await asyncio.sleep(self.tuning.lease_s / 3)
        before = time.monotonic()
        try:
            if self._gave_up:
                await self.database.write(lambda db: leases.give_back(db, self.owner))
                self._gave_up = False
            expired = await self.database.write(self._renew)
        except ServiceError:
            if time.monotonic() > self._held_until:
                for task in self._running.values():
                    task.cancel()
                self._running.clear()
                self._gave_up = True
                self._room.set()
            raise
        self._held_until = before + self.tuning.lease_s
        if expired:
            self.metrics.expired.inc(expired)
            self._more.set()

    def _renew(self, db: Connection) -> int:
        leases.renew(db, self.owner, self.tuning.lease_s)
        return leases.expire(db, but=self.owner)
