"""Dialogues as they are kept: reading, listing, deleting, adding turns."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, exists, insert, select, tuple_

from colloquy.contracts.collections import DialogueSummary, ItemState, StoredDialogue
from colloquy.contracts.content import Dialogue
from colloquy.contracts.indexing import DialogueRef, ListDialogues
from colloquy.servicekit.problems import NotFound
from services.indexer.domain import DELETE, PUT, Kept, Piece, Stored, digest, point_id
from services.indexer.ledger.acceptance import add_work, next_number
from services.indexer.ledger.collections import open_shelf
from services.indexer.ledger.database import now_s
from services.indexer.ledger.jobs import PENDING, cancel_items, moment
from services.indexer.ledger.schema import dialogues, fragments, items

Key = tuple[str, str, str]
"""Tenant, collection, dialogue."""
MISSING = "there is no such dialogue"
# What stands for the work nobody asked for: it goes before what is waiting.
URGENT = 0


@dataclass(frozen=True, slots=True)
class Pending:
    """What is accepted for a dialogue and not done yet, the newest first."""

    rows: Sequence[Row[Any]]

    @property
    def goes(self) -> bool:
        """It will be deleted before anything that is accepted now is done."""
        return bool(self.rows) and self.rows[0].action == DELETE

    @property
    def content(self) -> Row[Any] | None:
        """The newest content that waits to be indexed, with nothing newer that deletes it."""
        for row in self.rows:
            if row.action == DELETE:
                return None
            if row.action == PUT and row.content is not None:
                return row
        return None

    @property
    def state(self) -> ItemState | None:
        return self.rows[0].state if self.rows else None


def pending_of(db: Connection, ref: DialogueRef) -> Pending:
    query = (
        select(items)
        .where(*_work_on(ref), items.c.state.in_(PENDING))
        .order_by(items.c.accepted.desc(), items.c.id.desc())
    )
    return Pending(db.execute(query).all())


def stored_of(db: Connection, keys: Sequence[Key]) -> dict[Key, Stored]:
    """What the ledger keeps of dialogues, by key."""
    if not keys:
        return {}
    key = tuple_(dialogues.c.tenant, dialogues.c.collection, dialogues.c.id)
    rows = db.execute(select(dialogues).where(key.in_(keys))).all()
    pieces: dict[Key, dict[int, Piece]] = {}
    mine = tuple_(fragments.c.tenant, fragments.c.collection, fragments.c.dialogue_id)
    for row in db.execute(select(fragments).where(mine.in_(keys))):
        piece = Piece(row.number, tuple(json.loads(row.utterance_ids)), row.content_hash)
        pieces.setdefault((row.tenant, row.collection, row.dialogue_id), {})[row.number] = piece
    return {
        (identity := (row.tenant, row.collection, row.id)): Stored(
            row.content,
            row.content_hash,
            row.revision,
            row.turns,
            row.blob_owner,
            pieces.get(identity, {}),
        )
        for row in rows
    }


def read_dialogue(db: Connection, ref: DialogueRef) -> StoredDialogue:
    """
    Raises:
        NotFound: it is neither indexed nor waiting to be.
    """
    open_shelf(db, ref)
    pending = pending_of(db, ref)
    row = db.execute(select(dialogues).where(*_is(ref))).one_or_none()
    waiting = pending.content
    if pending.goes or (row is None and waiting is None):
        raise NotFound(MISSING)
    if row is None:
        assert waiting is not None
        return StoredDialogue(
            dialogue=Dialogue.model_validate_json(waiting.content),
            revision=0,
            state=waiting.state,
            fragments=[],
            updated=moment(now_s(db)),
        )
    pieces = db.execute(
        select(fragments.c.utterance_ids).where(*_pieces_of(ref)).order_by(fragments.c.number)
    )
    return StoredDialogue(
        dialogue=Dialogue.model_validate_json(row.content),
        revision=row.revision,
        state=pending.state or "indexed",
        fragments=[json.loads(piece.utterance_ids) for piece in pieces],
        updated=moment(row.updated),
    )


def list_dialogues(
    db: Connection, asked: ListDialogues
) -> tuple[list[DialogueSummary], str | None]:
    """The indexed ones, in order of their ids."""
    open_shelf(db, asked)
    is_pending = exists().where(
        items.c.tenant == dialogues.c.tenant,
        items.c.collection == dialogues.c.collection,
        items.c.dialogue_id == dialogues.c.id,
        items.c.state.in_(PENDING),
    )
    query = select(
        dialogues.c.id,
        dialogues.c.turns,
        dialogues.c.images,
        dialogues.c.updated,
        is_pending.label("pending"),
    ).where(dialogues.c.tenant == asked.tenant, dialogues.c.collection == asked.collection)
    if asked.cursor is not None:
        query = query.where(dialogues.c.id > asked.cursor)
    rows = db.execute(query.order_by(dialogues.c.id).limit(asked.limit + 1)).all()
    page = rows[: asked.limit]
    told = [
        DialogueSummary(
            id=row.id,
            turns=row.turns,
            images=row.images,
            state="queued" if row.pending else "indexed",
            updated=moment(row.updated),
        )
        for row in page
    ]
    return told, page[-1].id if len(rows) > asked.limit else None


def accept_deletion(db: Connection, ref: DialogueRef) -> None:
    """From now on the dialogue will go, whatever happens; what waited for it is given up.

    Raises:
        NotFound: there is none.
    """
    number = next_number(db)
    open_shelf(db, ref)
    pending = pending_of(db, ref)
    if pending.goes:
        return
    if pending.content is None and db.scalar(select(exists().where(*_is(ref)))) is not True:
        raise NotFound(MISSING)
    waiting = items.c.action == PUT
    for part in _work_on(ref):
        waiting &= part
    cancel_items(db, waiting)
    end = max((row.turns for row in pending.rows), default=0)
    add_work(
        db,
        accepted=number,
        tenant=ref.tenant,
        collection=ref.collection,
        dialogue_id=ref.dialogue_id,
        action=DELETE,
        job=None,
        turns=end,
        priority=URGENT,
    )


def is_being_deleted(db: Connection, ref: DialogueRef) -> bool:
    return any(row.action == DELETE for row in pending_of(db, ref).rows)


def keep(db: Connection, key: Key, kept: Kept) -> None:
    """Writes a dialogue and its pieces down in place of what was there."""
    drop(db, key)
    tenant, collection, identity = key
    db.execute(
        insert(dialogues).values(
            tenant=tenant,
            collection=collection,
            id=identity,
            content=kept.content,
            content_hash=digest(kept.content),
            revision=kept.revision,
            turns=len(kept.dialogue.utterances),
            images=len(kept.dialogue.images),
            blob_owner=kept.blob_owner,
            updated=now_s(db),
        )
    )
    if kept.pieces:
        db.execute(
            insert(fragments),
            [
                {
                    "tenant": tenant,
                    "collection": collection,
                    "dialogue_id": identity,
                    "number": piece.number,
                    "utterance_ids": json.dumps(piece.utterance_ids),
                    "content_hash": piece.content_hash,
                    "point": str(point_id(tenant, collection, identity, piece.number)),
                }
                for piece in kept.pieces
            ],
        )


def drop(db: Connection, key: Key) -> None:
    tenant, collection, identity = key
    ref = DialogueRef(tenant=tenant, collection=collection, dialogue_id=identity)
    db.execute(fragments.delete().where(*_pieces_of(ref)))
    db.execute(dialogues.delete().where(*_is(ref)))


def _is(ref: DialogueRef) -> tuple[Any, ...]:
    return (
        dialogues.c.tenant == ref.tenant,
        dialogues.c.collection == ref.collection,
        dialogues.c.id == ref.dialogue_id,
    )


def _pieces_of(ref: DialogueRef) -> tuple[Any, ...]:
    return (
        fragments.c.tenant == ref.tenant,
        fragments.c.collection == ref.collection,
        fragments.c.dialogue_id == ref.dialogue_id,
    )


def _work_on(ref: DialogueRef) -> tuple[Any, ...]:
    return (
        items.c.tenant == ref.tenant,
        items.c.collection == ref.collection,
        items.c.dialogue_id == ref.dialogue_id,
    )
