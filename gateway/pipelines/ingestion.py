"""A body of dialogues becomes a job: the only place that knows the order look → take in → hand over
→ seal.

Nothing is acknowledged before the seal, and the seal comes only after everything arrived whole and
is on the indexer's disk. An item that is wrong is reported and the others go on.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.types import Receive

from colloquy.contracts.collections import MAX_ITEMS, Accepted, Append, ItemError
from colloquy.contracts.content import UNNUMBERED, Dialogue
from colloquy.contracts.indexing import AddItems, AppendTurns, Item, OpenedJob, OpenJob, SealJob
from colloquy.contracts.problem import Fault
from colloquy.contracts.retrieval import CollectionRef
from colloquy.servicekit.context import request_id
from colloquy.servicekit.problems import (
    CollectionMissing,
    Conflict,
    Malformed,
    NotFound,
    Overloaded,
    ServiceError,
    TooLarge,
    TooManyRequests,
)
from gateway.indexer import Indexer
from gateway.items import RawItem, Split
from gateway.metrics import Metrics
from gateway.pictures import Pictures
from gateway.pipelines.reading import item_error, nothing_right, read_all
from gateway.settings import Settings
from gateway.spool import Spool, spooled

_BATCH_ITEMS = 64
_BATCH_BYTES = 2 * 2**20
_AT_ONCE = 8
_RETRY_AFTER_S = 5


@dataclass(frozen=True, slots=True)
class Target:
    """Where an ingestion goes.

    Attributes:
        idempotency_key: the caller's; the same body under it again is the same job.
    """

    tenant: str
    collection: str
    idempotency_key: str | None


@dataclass(slots=True)
class _Progress:
    """Attributes:
    errors: those that the indexer has not been told.
    """

    job: str | None = None
    ids: set[str] = field(default_factory=set)
    errors: list[ItemError] = field(default_factory=list)


class Ingestion:
    """Receives dialogues for collections."""

    def __init__(
        self, indexer: Indexer, pictures: Pictures, metrics: Metrics, settings: Settings
    ) -> None:
        self._indexer = indexer
        self._pictures = pictures
        self._metrics = metrics
        self._folder = settings.spool_dir
        self._max_item_bytes = settings.max_body_bytes
        self._max_running = settings.max_ingests
        self._max_of_tenant = settings.tenant.max_ingests
        self._running: Counter[str] = Counter()

    async def take(self, target: Target, receive: Receive, split: Split) -> Accepted:
        """Receives a body of items and hands it over; answers when all of it is on disk.

        Args:
            split: finds the items of the body's form.

        Raises:
            ServiceError: the body is cut off or no list, no item is right, or a step fails; then
                nothing is acknowledged.
        """
        ref = CollectionRef(tenant=target.tenant, collection=target.collection)
        await self._indexer.collection(ref)  # better told before the body is sent
        with self._place(target.tenant):
            async with spooled(receive, self._folder) as spool:
                accepted = await self._take(target, spool, split)
        self._metrics.ingested_items.labels("accepted").inc(accepted.accepted)
        self._metrics.ingested_items.labels("failed").inc(accepted.failed)
        return accepted

    async def append(
        self, target: Target, dialogue_id: str, turns: Append, sha256: str
    ) -> Accepted:
        """Adds turns at the end of a dialogue.

        Raises:
            ServiceError: a turn brings an id, a picture is wrong, or the dialogue is not there or
                has grown otherwise.
        """
        dialogue = _numbered(turns)
        stored = await self._pictures.take_in_whole(target.tenant, dialogue, "body")
        opened = await self._indexer.append_turns(
            AppendTurns(
                tenant=target.tenant,
                collection=target.collection,
                dialogue_id=dialogue_id,
                dialogue=stored,
                expected_turns=turns.expected_turns,
                idempotency_key=target.idempotency_key,
                body_sha256=sha256,
            )
        )
        return _accepted(opened)

    async def _take(self, target: Target, spool: Spool, split: Split) -> Accepted:
        await asyncio.to_thread(_look, spool, split, self._max_item_bytes)
        try:
            return await self._send(target, spool, split)
        except NotFound as error:
            if isinstance(error, CollectionMissing):
                raise
            raise Conflict(
                "this request was overtaken: the same body came again under its key, or the "
                "collection was dropped; send it again"
            ) from None

    async def _send(self, target: Target, spool: Spool, split: Split) -> Accepted:
        """
        Raises:
            NotFound: the job went while its items came.
        """
        progress = _Progress()
        items = split(spool.file, self._max_item_bytes)
        while batch := await asyncio.to_thread(_next_batch, items):
            before = await self._hand_over(target, spool, batch, progress)
            if before is not None:
                return _accepted(before)
        if progress.job is None:
            raise nothing_right(progress.errors)
        await self._tell(target, progress, [])
        sealed = await self._indexer.seal_job(SealJob(tenant=target.tenant, job=progress.job))
        return _accepted(sealed)

    async def _hand_over(
        self, target: Target, spool: Spool, batch: list[RawItem], progress: _Progress
    ) -> OpenedJob | None:
        """Takes in a batch and gives it to the indexer; something when it had it all already."""
        read = await asyncio.to_thread(read_all, batch, progress.ids)
        room = asyncio.Semaphore(_AT_ONCE)

        async def take_in(one: Dialogue | ItemError, raw: RawItem) -> Dialogue | ItemError:
            if isinstance(one, ItemError):
                return one
            async with room:
                return await self._take_in(target.tenant, one, raw)

        taken = await asyncio.gather(*map(take_in, read, batch))
        good = [
            Item(position=raw.position, dialogue=one)
            for one, raw in zip(taken, batch, strict=True)
            if isinstance(one, Dialogue)
        ]
        progress.errors += [one for one in taken if isinstance(one, ItemError)]
        if not good:
            return None
        if progress.job is None:
            opened = await self._indexer.open_job(_opening(target, spool))
            if opened.sealed:
                return opened
            progress.job = opened.job
        await self._tell(target, progress, good)
        return None

    async def _tell(self, target: Target, progress: _Progress, good: list[Item]) -> None:
        """Hands over items, whose pictures the job owns from here on, and what others lack."""
        assert progress.job is not None
        if not good and not progress.errors:
            return
        await self._indexer.add_items(
            AddItems(tenant=target.tenant, job=progress.job, items=good, errors=progress.errors)
        )
        progress.errors = []

    async def _take_in(self, tenant: str, dialogue: Dialogue, raw: RawItem) -> Dialogue | ItemError:
        try:
            return await self._pictures.take_in_whole(tenant, dialogue, "")
        except ServiceError as error:
            if error.status >= 500:
                raise  # ours to mend: nothing is wrong with the item
            return item_error(raw, dialogue.id, error.faults or [], error.detail or error.title)

    @contextmanager
    def _place(self, tenant: str) -> Iterator[None]:
        """One of the places for bodies on the disk: a body may take long to arrive.

        Raises:
            TooManyRequests: the tenant has no more. Overloaded: they are all taken.
        """
        if self._running[tenant] >= self._max_of_tenant:
            raise TooManyRequests(
                f"at most {self._max_of_tenant} ingestions may be sent at once",
                retry_after_s=_RETRY_AFTER_S,
            )
        if self._running.total() >= self._max_running:
            raise Overloaded("too many ingestions are being received", retry_after_s=_RETRY_AFTER_S)
        self._running[tenant] += 1
        try:
            yield
        finally:
            self._running[tenant] -= 1


def _look(spool: Spool, split: Split, max_item_bytes: int) -> None:
    """Goes through the body once, so that what is wrong with it as a whole is known at first.

    Raises:
        MalformedJson: it is no list. TooLarge: too many items. Malformed: none.
    """
    count = 0
    for count, _ in enumerate(split(spool.file, max_item_bytes), 1):
        if count > MAX_ITEMS:
            raise TooLarge(f"a body may have at most {MAX_ITEMS} items", max_items=MAX_ITEMS)
    if count == 0:
        raise Malformed("the body has no items")
    spool.file.seek(0)


def _next_batch(items: Iterator[RawItem]) -> list[RawItem]:
    batch: list[RawItem] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item.data or b"")
        if len(batch) == _BATCH_ITEMS or size >= _BATCH_BYTES:
            break
    return batch


def _opening(target: Target, spool: Spool) -> OpenJob:
    return OpenJob(
        tenant=target.tenant,
        collection=target.collection,
        idempotency_key=target.idempotency_key,
        body_sha256=spool.sha256,
    )


def _numbered(turns: Append) -> Dialogue:
    """The new turns, from 0.

    Raises:
        Malformed: one brings an id.
    """
    for place, turn in enumerate(turns.utterances):
        if turn.id != UNNUMBERED:
            at, why = f"body/utterances/{place}/id", "is given by the dialogue: leave it out"
            raise Malformed(f"{at} {why}", faults=[Fault(at=at, why=why)])
    return Dialogue(utterances=turns.utterances)


def _accepted(job: OpenedJob) -> Accepted:
    return Accepted(job=job.job, accepted=job.accepted, failed=job.failed, request_id=request_id())
