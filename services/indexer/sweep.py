"""What is done now and then, and nobody asks for."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from colloquy.servicekit.problems import ServiceError
from services.indexer.keep_collections import KeepCollections
from services.indexer.ledger import acceptance, housekeeping, jobs
from services.indexer.ledger.database import Database
from services.indexer.letting_go import LettingGo
from services.indexer.metrics import Metrics
from services.indexer.run_jobs import RunJobs
from services.indexer.settings import Tuning

_log = logging.getLogger(__name__)
_STEPS_EVERY_S = 0.1
_DEPTH_EVERY_S = 5.0
_RELEASES_EVERY_S = 1.0
_DAY_S = 86_400.0


@dataclass(slots=True)
class Sweep:
    """Loops that may run in every indexer of a ledger at once."""

    database: Database
    run_jobs: RunJobs
    letting_go: LettingGo
    collections: KeepCollections
    tuning: Tuning
    metrics: Metrics

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._every("jobs", _STEPS_EVERY_S, self._steps))
            group.create_task(self._every("releases", _RELEASES_EVERY_S, self._releases))
            group.create_task(self._every("depth", _DEPTH_EVERY_S, self._depth))
            group.create_task(self._every("sweep", self.tuning.sweep_every_s, self.sweep))

    async def sweep(self) -> None:
        """One round of everything that is rare."""
        write = self.database.write
        await write(lambda db: acceptance.sweep_unsealed(db, self.tuning.unsealed_ttl_s))
        await write(housekeeping.delete_expired)
        await write(housekeeping.end_left_over)
        await write(lambda db: jobs.prune(db, self.tuning.keep_jobs_days * _DAY_S))
        await self.collections.drop_the_rest()

    async def _steps(self) -> None:
        while await self.run_jobs():
            pass

    async def _releases(self) -> None:
        await self.letting_go()

    async def _depth(self) -> None:
        self.metrics.observe_depth(await self.database.read(housekeeping.depths))

    async def _every(
        self, name: str, seconds: float, round_: Callable[[], Awaitable[None]]
    ) -> None:
        while True:
            started = time.monotonic()
            try:
                await round_()
                self.metrics.failing.labels(name).set(0)
            except ServiceError as error:
                self.metrics.failing.labels(name).set(1)
                _log.warning("the loop `%s` goes on after: %s", name, error.title)
            except Exception as error:  # noqa: BLE001 - the next round may succeed; this one is told
                self.metrics.failing.labels(name).set(1)
                _log.error("an unexpected error ended a round of `%s`", name, exc_info=error)
            await asyncio.sleep(max(0.0, seconds - (time.monotonic() - started)))
