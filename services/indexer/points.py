"""What is searched: the fragments that the retriever holds."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from uuid import UUID

from colloquy.contracts.content import TextPart
from colloquy.contracts.fragments import Filter
from colloquy.contracts.retrieval import (
    CollectionState,
    Counted,
    DeleteFragments,
    Done,
    FragmentFault,
    FragmentRecord,
    OpenCollection,
    PromoteStaged,
    Selection,
    StagedRef,
    Upserted,
    UpsertFragments,
)
from colloquy.servicekit.calls import ServiceClient
from colloquy.servicekit.problems import (
    CollectionMissing,
    DeadlineExceeded,
    ServiceError,
    Unavailable,
)
from services.indexer.domain import TookTooLong
from services.indexer.metrics import Metrics

_log = logging.getLogger(__name__)
_MAX_IDS = 10_000
# Of one call, in characters: so that it ends long before it is given up, whoever wrote how much.
_CALL_WEIGHT = 200_000
_PICTURE_WEIGHT = 1_000
_TOO_LONG = "the fragment that begins here is too long to be embedded in time"


@dataclass(frozen=True, slots=True)
class Target:
    """A collection, or the copy beside it."""

    tenant: str
    collection: str
    staged: bool = False

    @property
    def ref(self) -> StagedRef:
        return StagedRef(tenant=self.tenant, collection=self.collection, staged=self.staged)


@dataclass(slots=True)
class Patience:
    """How long calls of one item may still be given up for lack of time."""

    left_s: float


@dataclass(slots=True)
class _Entry:
    """Fragments of one dialogue that go into one call; heavier than `_CALL_WEIGHT` only alone."""

    records: Sequence[FragmentRecord]
    weight: int
    patience: Patience
    answer: "asyncio.Future[list[FragmentFault]]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def is_heavy(self) -> bool:
        return self.weight > _CALL_WEIGHT

    def given_up(self, after_s: float) -> list[FragmentFault] | TookTooLong:
        """What becomes of it when its call took too long."""
        self.patience.left_s -= after_s
        if self.patience.left_s > 0:
            return TookTooLong(_TOO_LONG, after_s)
        self.patience.left_s = -1.0
        return self.too_late()

    def too_late(self) -> list[FragmentFault]:
        return [FragmentFault(id=record.id, why=_TOO_LONG) for record in self.records]


class Points:
    """Calls the retriever. Fragments of several dialogues travel together: those that come while a
    call is under way go with the next one.

    Raises, each method: `Unavailable` and the like while it is away; `CollectionMissing`.
    """

    def __init__(
        self, client: ServiceClient, metrics: Metrics, *, together: int, at_once: int
    ) -> None:
        self._client = client
        self._metrics = metrics
        self._together = together
        self._waiting: dict[Target, deque[_Entry]] = {}
        self._filled = asyncio.Event()
        self._senders = [asyncio.create_task(self._send()) for _ in range(at_once)]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for sender in self._senders:
            sender.cancel()
        await asyncio.gather(*self._senders, return_exceptions=True)
        for entries in self._waiting.values():
            for entry in entries:
                _answer(entry, Unavailable("the service ends"))

    async def upsert(
        self, target: Target, records: Sequence[FragmentRecord], patience_s: float
    ) -> list[FragmentFault]:
        """Stores all of `records` but those that it returns.

        Args:
            patience_s: a fragment that fills a call alone may be tried so long, all of them
                together; what still is not embedded then is returned.

        Raises:
            TookTooLong: a call was given up, and may be tried again.
        """
        entries = list(_entries(records, self._together, Patience(patience_s)))
        self._waiting.setdefault(target, deque()).extend(entries)
        self._filled.set()
        try:
            told = await asyncio.gather(*(entry.answer for entry in entries))
        finally:
            for entry in entries:  # nobody waits for the rest any more
                entry.answer.cancel()
        return [fault for faults in told for fault in faults]

    async def delete(self, target: Target, ids: Sequence[UUID]) -> None:
        for i in range(0, len(ids), _MAX_IDS):
            await self._delete(target, Selection(ids=list(ids[i : i + _MAX_IDS])))

    async def delete_dialogue(self, target: Target, dialogue_id: str) -> None:
        await self._delete(target, Selection(filter=Filter(dialogue_id=[dialogue_id])))

    async def open(self, target: Target, kind: str, spaces: Iterable[str]) -> CollectionState:
        body = OpenCollection(
            tenant=target.tenant,
            collection=target.collection,
            staged=target.staged,
            kind="documents" if kind == "documents" else "dialogues",
            spaces=list(spaces),
        )
        return await self._client.call("/v1/collections/open", body, CollectionState)

    async def state(self, target: Target) -> CollectionState:
        return await self._client.call("/v1/collections/state", target.ref, CollectionState)

    async def drop(self, target: Target) -> None:
        """Deletes a collection; one that is not there is deleted already."""
        try:
            await self._client.call("/v1/collections/drop", target.ref, Done)
        except CollectionMissing:
            return

    async def promote(self, target: Target) -> CollectionState:
        body = PromoteStaged(tenant=target.tenant, collection=target.collection)
        return await self._client.call("/v1/collections/promote", body, CollectionState)

    async def _delete(self, target: Target, selection: Selection) -> None:
        body = DeleteFragments(**target.ref.model_dump(), selection=selection)
        await self._client.call("/v1/fragments/delete", body, Counted)

    async def _send(self) -> None:
        while True:
            await self._filled.wait()
            taken = self._take()
            if taken is None:
                self._filled.clear()
                continue
            target, entries = taken
            try:
                await self._upsert_all(target, entries)
            except asyncio.CancelledError:
                for entry in entries:
                    _answer(entry, Unavailable("the service ends"))
                raise
            except Exception as error:  # noqa: BLE001 - of these; the next call may succeed
                _log.error("an unexpected error ended a call", exc_info=error)
                for entry in entries:
                    _answer(entry, ServiceError("it could not be stored"))

    def _take(self) -> tuple[Target, list[_Entry]] | None:
        """The next call: of the collection that waits longest, as much as goes into one."""
        while self._waiting:
            target, entries = next(iter(self._waiting.items()))
            del self._waiting[target]
            taken: list[_Entry] = []
            room, weight = self._together, _CALL_WEIGHT
            while entries:
                entry = entries[0]
                if not entry.answer.done():
                    if taken and (len(entry.records) > room or entry.weight > weight):
                        break
                    taken.append(entry)
                    room -= len(entry.records)
                    weight -= entry.weight
                entries.popleft()
            if entries:
                self._waiting[target] = entries  # behind the others: each collection has its turn
            if taken:
                return target, taken
        return None

    async def _upsert_all(self, target: Target, entries: Sequence[_Entry]) -> None:
        records = [record for entry in entries for record in entry.records]
        first = entries[0]
        if first.is_heavy and first.patience.left_s < 0:
            _answer(first, first.too_late())  # another of its item has used up all the time
            return
        began_s = time.monotonic()
        try:
            body = UpsertFragments(**target.ref.model_dump(), fragments=records)
            told = await self._client.call("/v1/fragments/upsert", body, Upserted)
        except ServiceError as error:
            if len(entries) > 1 and error.status < 500:
                for entry in entries:  # one of them is refused; which?
                    await self._upsert_all(target, [entry])
                return
            if isinstance(error, DeadlineExceeded) and first.is_heavy:
                _answer(first, first.given_up(time.monotonic() - began_s))
                return
            for entry in entries:
                _answer(entry, error)
            return
        self._metrics.upserted.observe(len(records))
        faults = {fault.id: fault for fault in told.faults}
        for entry in entries:
            _answer(entry, [faults[r.id] for r in entry.records if r.id in faults])


def _entries(records: Iterable[FragmentRecord], most: int, patience: Patience) -> Iterator[_Entry]:
    """`records` in order, as few calls as hold them: at most `most` each, and not too heavy."""
    held: list[FragmentRecord] = []
    weight = 0
    for record in records:
        more = _weight(record)
        if held and (len(held) == most or weight + more > _CALL_WEIGHT):
            yield _Entry(held, weight, patience)
            held, weight = [], 0
        held.append(record)
        weight += more
    if held:
        yield _Entry(held, weight, patience)


def _weight(record: FragmentRecord) -> int:
    return sum(
        len(part.text) if isinstance(part, TextPart) else _PICTURE_WEIGHT
        for turn in record.utterances
        for part in turn.parts
    )


def _answer(entry: _Entry, told: list[FragmentFault] | ServiceError) -> None:
    if entry.answer.done():
        return
    if isinstance(told, ServiceError):
        entry.answer.set_exception(told)
    else:
        entry.answer.set_result(told)
