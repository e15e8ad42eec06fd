"""The indexer as a whole: its ledger, its loops, and whether it can take anything in."""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial

import psutil

from colloquy.contracts.operation import Check, Readiness
from colloquy.media.blobs import BlobStore
from colloquy.servicekit.calls import ServiceClient
from colloquy.servicekit.problems import ServiceError
from services.indexer.cut import Cut
from services.indexer.index_item import IndexItem
from services.indexer.keep_collections import KeepCollections
from services.indexer.keep_dialogues import KeepDialogues
from services.indexer.ledger import housekeeping, leases
from services.indexer.ledger.database import Database, ledger_url
from services.indexer.letting_go import LettingGo
from services.indexer.metrics import Metrics
from services.indexer.points import Points
from services.indexer.run_jobs import RunJobs
from services.indexer.settings import Settings
from services.indexer.spaces import Spaces
from services.indexer.sweep import Sweep
from services.indexer.take_in import TakeIn
from services.indexer.worker import Worker


@dataclass(frozen=True, slots=True)
class Indexer:
    """What the routes reach."""

    database: Database
    blobs: BlobStore
    collections: KeepCollections
    dialogues: KeepDialogues
    take_in: TakeIn

    async def readiness(self) -> Readiness:
        """Of what acceptance needs. That the retriever is away stops nobody from sending."""
        try:
            await self.database.read(housekeeping.depths)
            ledger = Check(name="ledger", ready=True)
        except ServiceError as error:
            ledger = Check(name="ledger", ready=False, detail=error.detail)
        checks = [ledger, await asyncio.to_thread(self.blobs.check)]
        return Readiness(ready=all(check.ready for check in checks), checks=checks)


@asynccontextmanager
async def open_indexer(settings: Settings, metrics: Metrics) -> AsyncIterator[Indexer]:
    """Opens the ledger and the stores, and begins to work; waits for no other service.

    Raises:
        LedgerRefused: the ledger cannot be opened.
    """
    tuning = settings.tuning
    async with AsyncExitStack() as stack:
        url = ledger_url(settings.ledger, settings.ledger_password)
        database = stack.enter_context(closing(await asyncio.to_thread(Database.open, url)))
        blobs = stack.enter_context(
            closing(BlobStore(settings.blobs, settings.blob_key.get_secret_value().encode()))
        )
        retriever = await stack.enter_async_context(_client(settings, metrics, "retriever"))
        generator = await stack.enter_async_context(_client(settings, metrics, "generator"))
        points = await stack.enter_async_context(
            Points(
                retriever,
                metrics,
                together=tuning.upsert_fragments,
                at_once=tuning.upserts_at_once,
            )
        )
        owner = new_owner()
        if database.is_sqlite:
            await give_back_of_the_dead(database)
        worker = Worker(
            database,
            IndexItem(points, Cut(generator, tuning), tuning),
            points,
            tuning,
            metrics,
            owner,
        )
        letting_go = LettingGo(database, blobs)
        collections = KeepCollections(
            database, points, Spaces(retriever, settings.spaces), letting_go
        )
        run_jobs = RunJobs(database, points, letting_go, owner, tuning.lease_s, worker.wake)
        sweep = Sweep(database, run_jobs, letting_go, collections, tuning, metrics)
        async with _running(worker, sweep):
            yield Indexer(
                database,
                blobs,
                collections,
                KeepDialogues(database, letting_go, worker.wake),
                TakeIn(database, blobs, worker.wake),
            )


@asynccontextmanager
async def _running(worker: Worker, sweep: Sweep) -> AsyncIterator[None]:
    loops = [asyncio.create_task(worker.run()), asyncio.create_task(sweep.run())]
    try:
        yield
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


def _client(settings: Settings, metrics: Metrics, name: str) -> ServiceClient:
    return ServiceClient(
        settings.retriever if name == "retriever" else settings.generator,
        hop_secret=settings.hop_secret,
        service_name=name,
        metrics=metrics.calls,
        default_timeout_s=settings.tuning.call_timeout_s,
    )


def new_owner() -> str:
    """Names this process; says whether it lives, to whoever is on the same machine."""
    born = int(psutil.Process().create_time() * 100)
    host = socket.gethostname()[:24]
    return f"{host}/{os.getpid()}/{born}/{secrets.token_hex(4)}"


def is_dead(owner: str) -> bool:
    """Whether the process that called itself so has ended; false where that cannot be known."""
    host, *numbers = owner.split("/")
    if host != socket.gethostname()[:24] or len(numbers) != 3:
        return False
    try:
        process = psutil.Process(int(numbers[0]))
        return int(process.create_time() * 100) != int(numbers[1])
    except (psutil.NoSuchProcess, ValueError):
        return True


async def give_back_of_the_dead(database: Database) -> None:
    """After a crash nobody waits for the leases to end: a file's holders are on this machine."""
    for owner in await database.read(leases.holders):
        if is_dead(owner):
            await database.write(partial(leases.give_back, owner=owner))
