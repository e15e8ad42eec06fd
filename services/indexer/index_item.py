"""Doing one item: what is searched becomes what the ledger is about to keep.

The order is: store the new fragments, delete those that are no longer there, then write the ledger.
Ids of fragments come from their place, so an attempt that was killed anywhere is done again over
itself. What it may have left beyond the new fragments has numbers below the turns of its dialogue:
a fragment has a turn at least.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Literal
from uuid import UUID

from colloquy.contracts.content import Dialogue
from colloquy.contracts.retrieval import FragmentFault
from colloquy.servicekit.problems import Conflict
from services.indexer.cut import Cut
from services.indexer.domain import (
    Action,
    Kept,
    Outcome,
    Piece,
    Stored,
    Work,
    content_of,
    digest,
    pieces_of,
    point_id,
    record_of,
)
from services.indexer.points import Points, Target
from services.indexer.scrub import scrub
from services.indexer.settings import Tuning


class IndexItem:
    """The use case."""

    def __init__(self, points: Points, cut: Cut, tuning: Tuning) -> None:
        self._points = points
        self._cut = cut
        self._tuning = tuning
        self._ways: dict[Action, Callable[[Work], Awaitable[Outcome]]] = {
            "put": self._put,
            "delete": self._delete,
            "erase": self._erase,
            "copy": self._copy,
            "renew": self._renew,
        }

    async def __call__(self, work: Work) -> Outcome:
        """
        Raises:
            ServiceError: a service is away or refused; nothing of it counts.
        """
        return await self._ways[work.action](work)

    async def _put(self, work: Work) -> Outcome:
        assert work.content is not None, "a dialogue that waits has content"
        stored = work.stored
        if stored is not None and stored.content_hash == digest(work.content):
            return Outcome(work, "indexed", unchanged=True)
        dialogue = Dialogue.model_validate_json(work.content)
        cut = await self._cut(work, dialogue)
        pieces = pieces_of(dialogue, cut.numbered)
        revision = (stored.revision if stored is not None else 0) + 1
        faults = await self._write(work, dialogue, pieces, revision)
        if faults:
            return _refused(work, pieces, faults)
        kept = Kept(dialogue, work.content, revision, pieces, work.blob_owner)
        return Outcome(work, "indexed", kept=kept, degraded=cut.degraded)

    async def _delete(self, work: Work) -> Outcome:
        for target in _targets(work):
            await self._points.delete_dialogue(target, work.dialogue_id)
        return Outcome(work, "indexed", gone=True)

    async def _erase(self, work: Work) -> Outcome:
        stored = work.stored
        found = scrub(stored.dialogue(), work.spec or {}) if stored is not None else None
        if stored is None or found is None:
            return Outcome(work, "indexed", unchanged=True)
        went = {"dialogues": 1, "utterances": found.utterances, "images": found.images}
        if found.dialogue is None:
            gone = await self._delete(work)
            return Outcome(
                gone.work, "indexed", gone=True, receipt=went | {"fragments": len(stored.pieces)}
            )
        left = found.dialogue
        pieces = pieces_of(left, {n: p.utterance_ids for n, p in stored.pieces.items()})
        revision = stored.revision + 1
        changed = sum(stored.pieces.get(p.number) != p for p in pieces)
        faults = await self._write(work, left, pieces, revision)
        # What cannot be embedded any more is not searched; what it said must not be either.
        pieces = await self._without(work, pieces, faults)
        went["fragments"] = changed + len(stored.pieces) - len(pieces) - len(faults)
        kept = Kept(left, content_of(left), revision, pieces, stored.blob_owner)
        return Outcome(work, "indexed", kept=kept, receipt=went, keep_blobs=left.images)

    async def _copy(self, work: Work) -> Outcome:
        if work.stored is None or work.reindex_job != work.job:  # deleted, or given up
            return Outcome(work, "indexed", unchanged=True)
        dialogue, pieces = work.stored.dialogue(), _pieces(work.stored)
        target = Target(work.tenant, work.collection, staged=True)
        faults = await self._upsert(work, target, dialogue, pieces, work.stored.revision)
        if faults:
            return _refused(work, pieces, faults, state="failed")
        return Outcome(work, "indexed")

    async def _renew(self, work: Work) -> Outcome:
        if work.stored is None:
            for target in _targets(work):
                await self._points.delete_dialogue(target, work.dialogue_id)
        else:
            pieces = _pieces(work.stored)
            await self._write(work, work.stored.dialogue(), pieces, work.stored.revision)
        return Outcome(work, "indexed")

    async def _write(
        self, work: Work, dialogue: Dialogue, pieces: Sequence[Piece], revision: int
    ) -> list[FragmentFault]:
        """Brings what is searched to `pieces`, wherever the collection is written."""
        before = work.stored.pieces if work.stored is not None else {}
        here = {piece.number for piece in pieces}
        # Numbers that any attempt may have used: of this item, of the one it follows.
        end = max(work.turns, len(dialogue.utterances), work.stored.turns if work.stored else 0)
        everywhere = [number for number in range(end) if number not in here]
        faults: list[FragmentFault] = []
        for target in _targets(work):
            is_known = work.attempts == 1 and work.action != "renew" and not target.staged
            changed = [p for p in pieces if before.get(p.number) != p] if is_known else pieces
            stale = [number for number in before if number not in here] if is_known else everywhere
            try:
                faults = await self._upsert(work, target, dialogue, changed, revision) or faults
            except Conflict:
                if target.staged or (work.reindex_job is None and work.action != "erase"):
                    raise
                # The collection's model is gone. Until the copy that is made with another one is
                # searched, what has changed is not found: better than what it was. An erasure
                # does not even wait for such a copy to be begun.
                stale = sorted({*stale, *(p.number for p in changed if p.number in before)})
            await self._delete_numbers(target, work, stale)
        return faults

    async def _upsert(
        self,
        work: Work,
        target: Target,
        dialogue: Dialogue,
        pieces: Sequence[Piece],
        revision: int,
    ) -> list[FragmentFault]:
        if not pieces:
            return []
        records = [
            record_of(
                dialogue,
                piece,
                tenant=target.tenant,
                collection=target.collection,
                revision=revision,
            )
            for piece in pieces
        ]
        patience_s = self._tuning.patience_s(work.failures, work.tried_s)
        return await self._points.upsert(target, records, patience_s)

    async def _without(
        self, work: Work, pieces: Sequence[Piece], faults: Sequence[FragmentFault]
    ) -> list[Piece]:
        ids = {fault.id for fault in faults}
        bad = [p.number for p in pieces if _point(work, p.number) in ids]
        for target in _targets(work):
            await self._delete_numbers(target, work, bad)
        return [piece for piece in pieces if piece.number not in bad]

    async def _delete_numbers(self, target: Target, work: Work, numbers: Iterable[int]) -> None:
        ids = [_point(work, number) for number in numbers]
        if ids:
            await self._points.delete(target, ids)


def _point(work: Work, number: int) -> UUID:
    return point_id(work.tenant, work.collection, work.dialogue_id, number)


def _targets(work: Work) -> list[Target]:
    live = Target(work.tenant, work.collection)
    if work.reindex_job is None:
        return [live]
    return [live, Target(work.tenant, work.collection, staged=True)]


def _pieces(stored: Stored) -> list[Piece]:
    return [piece for _, piece in sorted(stored.pieces.items())]


def _refused(
    work: Work,
    pieces: Sequence[Piece],
    faults: Sequence[FragmentFault],
    state: Literal["mend", "failed"] = "mend",
) -> Outcome:
    first = faults[0]
    piece = next(p for p in pieces if _point(work, p.number) == first.id)
    return Outcome(
        work,
        state,
        at=f"utterances/{piece.utterance_ids[0]}",
        why=first.why,
    )
