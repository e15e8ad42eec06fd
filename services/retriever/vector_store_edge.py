"""Vectors on this machine: Qdrant Edge, in a process of its own, one shard for each collection."""

import asyncio
import fcntl
import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from colloquy.contracts.operation import Check
from colloquy.contracts.retrieval import BM25
from colloquy.sections import Section
from colloquy.servicekit.problems import ServiceError, Unavailable
from services.retriever.domain import Hit, Key, Point, Schema, SparseVector, Vector, Where
from services.retriever.edge_catalogue import Catalogue, Entry, Generation, new_folder
from services.retriever.edge_copy import sync_log
from services.retriever.edge_optimising import Optimising
from services.retriever.edge_process import Worker
from services.retriever.edge_replies import hits_of, points_of
from services.retriever.edge_wire import Message
from services.retriever.vector_store_points import (
    BODY,
    INDEXED,
    check_schema,
    check_terms,
    checked_batch,
    checked_query,
    conditions,
    selects_nothing,
)

MODULE: Final = "services.retriever.edge_worker"
LOCK: Final = "retriever.lock"
_LOCK_WITHIN_S: Final = 15.0
_log = logging.getLogger("colloquy.retriever.vectors")


class EdgeTuning(Section):
    """`store.edge:` of the retriever."""

    folder: str = Field(
        default="vectors",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="Under the stack's state folder.",
    )
    optimise_above_points: int = Field(
        default=20_000,
        gt=0,
        description="Points outside the graph at which one is built in the background; below, "
        "comparing each takes a few milliseconds.",
    )
    search_ef: int = Field(
        default=128,
        ge=10,
        le=10_000,
        description="Candidates that a search keeps on its way through the graph: more finds more "
        "of the nearest and takes longer.",
    )
    graph_links: int = Field(default=16, ge=4, le=128, description="Of each point in the graph.")
    graph_effort: int = Field(
        default=128, ge=16, le=1_024, description="Candidates when a point is put into the graph."
    )
    max_open_collections: int = Field(
        default=32, gt=0, description="Open at once; opening one takes some tens of milliseconds."
    )
    sync_writes: bool = Field(
        default=True,
        description="A write is on the disk before it is answered, and survives a power cut; "
        "without, it survives the death of any process.",
    )


class EdgeStore:
    """A `VectorStore` in `folder`, which one retriever at a time may have.

    Raises:
        TimeoutError: on entering, when another retriever has the folder.
        OSError: on entering, when the worker cannot be started.
    """

    def __init__(self, folder: Path, tuning: EdgeTuning | None = None) -> None:
        self._root = folder.resolve()
        self._tuning = tuning or EdgeTuning()
        self._catalogue = Catalogue(self._root)
        limits = [str(self._tuning.max_open_collections)]
        self._worker = Worker(MODULE, [str(self._root), *limits])
        self._locks: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._optimising = Optimising(self._root, self._catalogue, self._worker, self._changing)
        self._background: dict[Key, asyncio.Task[None]] = {}
        self._lock: BinaryIO | None = None

    async def __aenter__(self) -> Self:
        self._root.mkdir(parents=True, exist_ok=True)
        self._lock = await _lock(self._root / LOCK)
        try:
            await self._worker.start()  # only now is nobody left who writes here
            await asyncio.to_thread(self._catalogue.load)
        except BaseException:
            await self._worker.stop()
            self._lock.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._background.values():
            task.cancel()
        await asyncio.gather(*self._background.values(), return_exceptions=True)
        await self._worker.stop()
        if self._lock is not None:
            self._lock.close()

    @property
    def worker_pid(self) -> int | None:
        """Of the process that holds the shards; None while it is being replaced."""
        return self._worker.pid

    @property
    def optimiser_pid(self) -> int | None:
        """Of the process that builds a graph, while one does."""
        return self._optimising.pid

    async def open(self, key: Key, schema: Schema) -> Schema:
        check_schema(schema)
        async with self._changing(key):
            entry = self._catalogue.entry(key)
            generation = entry.of(key)
            if generation is not None:
                return generation.schema
            generation = Generation(new_folder(entry), schema)
            head = {
                "do": "create",
                "folder": generation.folder,
                "spaces": {space.name: space.dimensions for space in schema.spaces},
                "sparse": BM25,
                "indexed": dict(INDEXED),
                "links": self._tuning.graph_links,
                "effort": self._tuning.graph_effort,
            }
            await self._worker.ask(lambda: Message(head))
            await self._catalogue.commit(entry.having(key, generation))
            return schema

    async def drop(self, key: Key) -> bool:
        async with self._changing(key):
            entry = self._catalogue.entry(key)
            old = entry.of(key)
            if old is None:
                return False
            await self._retire(entry.having(key, None), old)
            return True

    async def promote(self, key: Key) -> None:
        staged = Key(key.tenant, key.collection, staged=True)
        live = Key(key.tenant, key.collection)
        async with self._changing(key):
            copy = self._catalogue.generation(staged)
            entry = self._catalogue.entry(key)
            await self._retire(entry.having(staged, None).having(live, copy), entry.of(live))

    async def schema(self, key: Key) -> Schema:
        return self._catalogue.generation(key).schema

    async def collections(self, tenant: str) -> list[str]:
        return list(self._catalogue.names(tenant))

    async def upsert(self, key: Key, points: Sequence[Point]) -> None:
        batch = checked_batch(key.tenant, await self.schema(key), points)
        if not points:
            return
        async with self._changing(key):
            generation = self._catalogue.generation(key)
            head = {
                "do": "upsert",
                "folder": generation.folder,
                "ids": batch.ids,
                "payloads": batch.payloads,
                "spaces": list(batch.vectors),
                "sparse": BM25,
            }
            arrays = [*batch.vectors.values(), batch.starts, batch.terms, batch.weights]
            reply = await self._worker.ask(lambda: Message(head, arrays))
        await self._sync(generation)
        if generation.unindexed(reply.head) > self._tuning.optimise_above_points:
            self._optimise_in_background(key)

    async def delete(self, key: Key, where: Where) -> int:
        async with self._changing(key):
            generation = self._catalogue.generation(key)
            if selects_nothing(where):
                return 0
            reply = await self._ask(key, do="delete", where=conditions(key.tenant, where))
        await self._sync(generation)
        deleted: int = reply.head["deleted"]
        return deleted

    async def count(self, key: Key, where: Where) -> int:
        if selects_nothing(where):
            self._catalogue.generation(key)
            return 0
        reply = await self._ask(key, do="count", where=conditions(key.tenant, where))
        count: int = reply.head["count"]
        return count

    async def scroll(
        self, key: Key, where: Where, limit: int, cursor: UUID | None
    ) -> tuple[list[Point], UUID | None]:
        names = [space.name for space in (await self.schema(key)).spaces]
        if selects_nothing(where):
            return [], None
        reply = await self._ask(
            key,
            do="scroll",
            where=conditions(key.tenant, where),
            limit=limit,
            cursor=str(cursor) if cursor is not None else None,
            spaces=names,
            sparse=BM25,
            body=BODY,
        )
        following = reply.head["next"]
        return points_of(names, reply), UUID(following) if following is not None else None

    async def nearest(
        self, key: Key, space: str, vector: Vector, where: Where, limit: int, *, exact: bool
    ) -> list[Hit]:
        row = checked_query(await self.schema(key), space, vector)
        found = await self._search(key, space, [row], where, limit, exact=exact)
        return hits_of(found)

    async def matching(self, key: Key, terms: SparseVector, where: Where, limit: int) -> list[Hit]:
        check_terms(terms)
        arrays = [np.array(terms.indices, np.uint32), np.array(terms.values, np.float32)]
        return hits_of(await self._search(key, BM25, arrays, where, limit))

    async def similarities(
        self, key: Key, space: str, vector: Vector, ids: Sequence[UUID]
    ) -> Mapping[UUID, float]:
        row = checked_query(await self.schema(key), space, vector)
        known = Where(ids=tuple(ids))
        found = await self._search(key, space, [row], known, len(ids), exact=True, bodies=False)
        return dict(zip(map(UUID, found["ids"]), found["scores"], strict=True))

    async def optimise(self, key: Key) -> None:
        await self._optimising.run(key)

    async def unindexed(self, key: Key) -> int:
        generation = self._catalogue.generation(key)
        return generation.unindexed((await self._ask(key, do="state")).head)

    def checks(self) -> list[Check]:
        trouble = self._worker.trouble
        return [Check(name="vectors", ready=trouble is None, detail=trouble)]

    async def _search(
        self,
        key: Key,
        using: str,
        query: Sequence[NDArray[Any]],
        where: Where,
        limit: int,
        *,
        exact: bool = False,
        bodies: bool = True,
    ) -> Mapping[str, Any]:
        self._catalogue.generation(key)
        if selects_nothing(where) or not query[0].size:
            return {"ids": [], "scores": [], "bodies": []}
        reply = await self._ask(
            key,
            query,
            do="search",
            using=using,
            where=conditions(key.tenant, where),
            limit=limit,
            ef=max(self._tuning.search_ef, limit),
            exact=exact,
            body=BODY if bodies else None,
        )
        return reply.head

    async def _ask(self, key: Key, arrays: Sequence[NDArray[Any]] = (), **head: Any) -> Message:
        """Asks the shard that `key` has when the request's turn has come."""

        def build() -> Message:
            return Message({**head, "folder": self._catalogue.generation(key).folder}, arrays)

        return await self._worker.ask(build)

    async def _sync(self, generation: Generation) -> None:
        """In a thread, while the worker goes on: a disk may take its time."""
        if self._tuning.sync_writes:
            await asyncio.to_thread(sync_log, self._root / generation.folder)

    async def _retire(self, entry: Entry, old: Generation | None) -> None:
        """Makes `entry` the truth, and removes what it no longer has, `old`."""
        await self._catalogue.commit(entry)
        if old is None:
            return
        with suppress(Unavailable):  # a new worker has not opened it
            close = {"do": "close", "folder": old.folder}
            await self._worker.ask(lambda: Message(close))
        await asyncio.to_thread(self._catalogue.remove, old.folder)

    def _changing(self, key: Key) -> asyncio.Lock:
        """Who holds it alone writes to the collection, live or staged."""
        return self._locks[key.tenant, key.collection]

    def _optimise_in_background(self, key: Key) -> None:
        task = self._background.get(key)
        if task is None or task.done():
            self._background[key] = asyncio.create_task(self._optimise_quietly(key))

    async def _optimise_quietly(self, key: Key) -> None:
        try:
            await self._optimising.run(key)
        except ServiceError as error:
            # It is searched by comparing each until the next write asks again.
            _log.warning("a graph was not built", extra={"why": error.detail})


async def _lock(path: Path) -> BinaryIO:
    """The retriever before this one may still be on its way out."""
    give_up = time.monotonic() + _LOCK_WITHIN_S
    file = path.open("wb")
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > give_up:
                file.close()
                raise TimeoutError("another retriever has the vectors") from None
            await asyncio.sleep(0.05)
        else:
            return file
