"""Building a collection anew beside the one that is searched."""

from collections.abc import Sequence

from sqlalchemy import Connection, func, insert, literal, select

from colloquy.contracts.indexing import Reindex
from colloquy.contracts.retrieval import CollectionRef, SpaceState
from colloquy.servicekit.problems import Conflict
from services.indexer.domain import COPY
from services.indexer.ledger.acceptance import next_number
from services.indexer.ledger.collections import (
    find_shelf,
    keep_spaces,
    open_shelf,
    set_reindex_job,
)
from services.indexer.ledger.jobs import (
    CANCELLING,
    UNDER_WAY,
    add_job,
    cancel_items,
    end_job,
    pending_items,
)
from services.indexer.ledger.runs import Run, go_on
from services.indexer.ledger.schema import dialogues, items, jobs

PREPARE, COPYING, PROMOTE, UNDO = "prepare", "copying", "promote", "undo"
_AFTER_REQUESTS = 2


def accept_reindex(db: Connection, asked: Reindex) -> str:
    """The job that does it; the one that is under way, if one is.

    Raises:
        Conflict: that one is being cancelled.
    """
    next_number(db)
    open_shelf(db, asked)
    running = db.execute(
        select(jobs.c.id, jobs.c.state).where(
            jobs.c.tenant == asked.tenant,
            jobs.c.collection == asked.collection,
            jobs.c.kind == "reindex",
            jobs.c.state.in_(UNDER_WAY),
        )
    ).one_or_none()
    if running is not None:
        if running.state == CANCELLING:
            raise Conflict("the reindex before this one is still being cancelled; try again")
        return str(running.id)
    return add_job(
        db, tenant=asked.tenant, collection=asked.collection, kind="reindex", phase=PREPARE
    )


def begin_copies(db: Connection, run: Run) -> None:
    """The staged copy is open: from now on writes go to both, and what is there is copied."""
    number = next_number(db)
    ref = collection_of(run)
    shelf = find_shelf(db, ref, lock=True)
    if shelf is None or shelf.dropping or _was_cancelled(db, run):
        return
    set_reindex_job(db, ref, run.id)
    columns = ("tenant", "collection", "dialogue_id", "turns", "action", "job", "accepted")
    rest = ("state", "priority", "unchanged", "attempts", "failures", "not_before")
    copied = select(
        dialogues.c.tenant,
        dialogues.c.collection,
        dialogues.c.id,
        dialogues.c.turns,
        literal(COPY),
        literal(run.id),
        literal(number),
        literal("queued"),
        literal(_AFTER_REQUESTS),
        literal(False),
        literal(0),
        literal(0),
        literal(0.0),
    ).where(dialogues.c.tenant == ref.tenant, dialogues.c.collection == ref.collection)
    db.execute(insert(items).from_select([*columns, *rest], copied))
    go_on(db, run, COPYING)


def failed_copies(db: Connection, job: str) -> int:
    query = select(func.count()).where(items.c.job == job, items.c.state == "failed")
    return db.scalar(query) or 0


def stop_copying(db: Connection, run: Run) -> bool:
    """Nothing more is written to the copy; true while somebody still writes."""
    cancel_items(db, items.c.job == run.id)
    _forget_copy(db, run)
    return pending_items(db, run.id) > 0


def end_reindex(db: Connection, run: Run, state: str, spaces: Sequence[SpaceState] = ()) -> None:
    """The collection is one again."""
    _forget_copy(db, run)
    if spaces:
        keep_spaces(db, collection_of(run), spaces)
    end_job(db, run.id, state)


def _forget_copy(db: Connection, run: Run) -> None:
    ref = collection_of(run)
    shelf = find_shelf(db, ref, lock=True)
    if shelf is not None and shelf.reindex_job == run.id:
        set_reindex_job(db, ref, None)


def collection_of(run: Run) -> CollectionRef:
    return CollectionRef(tenant=run.tenant, collection=run.collection or "")


def _was_cancelled(db: Connection, run: Run) -> bool:
    return db.scalar(select(jobs.c.phase).where(jobs.c.id == run.id)) != run.phase
