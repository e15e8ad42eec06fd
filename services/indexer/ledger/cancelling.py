"""Giving a job up: what was not begun is not done, and the job ends with what was."""

from sqlalchemy import Connection, func, select, update

from colloquy.contracts.collections import FINAL, Job
from colloquy.contracts.indexing import JobRef
from colloquy.servicekit.problems import Conflict
from services.indexer.domain import PUT, RENEW, Work
from services.indexer.ledger.acceptance import add_work, next_number
from services.indexer.ledger.dialogues import URGENT
from services.indexer.ledger.jobs import (
    CANCELLING,
    cancel_items,
    end_complete,
    job_row,
    read_job,
)
from services.indexer.ledger.schema import items, jobs


def cancel_job(db: Connection, ref: JobRef) -> Job:
    """The job is `cancelling` until what somebody works on has ended, and then `cancelled`.

    Raises:
        NotFound: this tenant has no such job.
        Conflict: an erasure or a deletion is not given up half done.
    """
    number = next_number(db)
    row = job_row(db, ref, lock=True)
    if row.state in FINAL or row.state == CANCELLING:
        return read_job(db, ref)
    if row.kind in {"erase", "delete", "retention"}:
        raise Conflict(f"a job of kind `{row.kind}` is not given up half done")
    _mend_what_was_tried(db, row.id, number)
    cancel_items(db, items.c.job == row.id)
    # A copy that is given up must be taken down: its runner does that, and then ends the job.
    phase = "undo" if row.kind == "reindex" else row.phase
    db.execute(update(jobs).where(jobs.c.id == row.id).values(state=CANCELLING, phase=phase))
    end_complete(db, [row.id])
    return read_job(db, ref)


def is_cancelling(db: Connection, job: str | None) -> bool:
    return job is not None and db.scalar(select(jobs.c.state).where(jobs.c.id == job)) == CANCELLING


def give_up(db: Connection, work: Work) -> None:
    """Ends an item whose attempt came to nothing, and whose job waits for nothing else."""
    cancel_items(db, items.c.id == work.id)
    mend(db, next_number(db), work.tenant, work.collection, work.dialogue_id, work.turns)


def mend(
    db: Connection, number: int, tenant: str, collection: str, dialogue_id: str, turns: int
) -> None:
    """What is searched of a dialogue becomes what the ledger has of it, as nobody's work."""
    add_work(
        db,
        accepted=number,
        tenant=tenant,
        collection=collection,
        dialogue_id=dialogue_id,
        action=RENEW,
        job=None,
        turns=turns,
        priority=URGENT,
    )


def _mend_what_was_tried(db: Connection, job: str, number: int) -> None:
    """An attempt that failed half way may have left fragments that are searched."""
    tried = db.execute(
        select(items.c.tenant, items.c.collection, items.c.dialogue_id, func.max(items.c.turns))
        .where(
            items.c.job == job,
            items.c.state == "queued",
            items.c.action == PUT,
            items.c.attempts > 0,
        )
        .group_by(items.c.tenant, items.c.collection, items.c.dialogue_id)
    ).all()
    for tenant, collection, dialogue_id, turns in tried:
        mend(db, number, tenant, collection, dialogue_id, turns)
