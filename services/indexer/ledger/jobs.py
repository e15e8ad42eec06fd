"""Jobs: what they are, how far they are, when they are done."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from colloquy.contracts.collections import FINAL, ItemError, Job, JobCounts
from colloquy.contracts.indexing import JobRef, ListJobs
from colloquy.servicekit.problems import NotFound
from services.indexer.domain import new_job_id
from services.indexer.ledger.database import now_s
from services.indexer.ledger.releases import let_go
from services.indexer.ledger.schema import items, jobs

ERRORS_SHOWN = 100
PENDING = ("queued", "running")
CANCELLING = "cancelling"
UNDER_WAY = (*PENDING, CANCELLING)
"""States of a job; what waits or runs is an item's."""


def add_job(db: Connection, *, tenant: str, collection: str | None, kind: str, **more: Any) -> str:
    identity, now = new_job_id(), now_s(db)
    values = {"state": "queued", "phase": ""} | more
    db.execute(
        insert(jobs).values(
            id=identity,
            tenant=tenant,
            collection=collection,
            kind=kind,
            created=now,
            updated=now,
            **values,
        )
    )
    return identity


def job_row(db: Connection, ref: JobRef, *, lock: bool = False) -> Row[Any]:
    """
    Raises:
        NotFound: this tenant has no such job.
    """
    query = select(jobs).where(jobs.c.id == ref.job, jobs.c.tenant == ref.tenant)
    found = db.execute(query.with_for_update() if lock else query).one_or_none()
    if found is None:
        raise NotFound("there is no such job")
    return found


def read_job(db: Connection, ref: JobRef) -> Job:
    return _told(db, job_row(db, ref))


def list_jobs(db: Connection, asked: ListJobs) -> tuple[list[Job], str | None]:
    """The newest first; jobs that are still being received are nobody's business."""
    query = select(jobs).where(jobs.c.tenant == asked.tenant, jobs.c.state != "receiving")
    if asked.collection is not None:
        query = query.where(jobs.c.collection == asked.collection)
    if asked.cursor is not None:
        query = query.where(jobs.c.id < asked.cursor)
    rows = db.execute(query.order_by(jobs.c.id.desc()).limit(asked.limit + 1)).all()
    page = rows[: asked.limit]
    more = page[-1].id if len(rows) > asked.limit else None
    return [_told(db, row) for row in page], more


def cancel_items(db: Connection, which: Any) -> int:
    """Ends queued items of `which` without doing them; their content goes."""
    waiting = (items.c.state.in_(("received", "queued"))) & which
    owners = db.execute(
        select(items.c.tenant, items.c.blob_owner).where(waiting, items.c.blob_owner.is_not(None))
    ).all()
    for row in owners:
        let_go(db, row.tenant, row.blob_owner, discard=False)
    done = db.execute(
        update(items)
        .where(waiting)
        .values(state="cancelled", content=None, blob_owner=None, lease_owner=None)
    )
    return done.rowcount


def pending_items(db: Connection, job: str) -> int:
    return (
        db.scalar(select(func.count()).where(items.c.job == job, items.c.state.in_(PENDING))) or 0
    )


def counts_of(db: Connection, job: str) -> JobCounts:
    rows = db.execute(
        select(items.c.state, items.c.unchanged, items.c.degraded.is_not(None), func.count())
        .where(items.c.job == job)
        .group_by(items.c.state, items.c.unchanged, items.c.degraded.is_not(None))
    ).all()

    def those(state: str) -> int:
        return sum(row[3] for row in rows if row[0] == state)

    return JobCounts(
        total=sum(row[3] for row in rows),
        indexed=those("indexed"),
        unchanged=sum(row[3] for row in rows if row[0] == "indexed" and row[1]),
        degraded=sum(row[3] for row in rows if row[0] == "indexed" and row[2]),
        failed=those("failed"),
        cancelled=those("cancelled"),
    )


def end_job(db: Connection, job: str, state: str, receipt: Mapping[str, int] | None = None) -> None:
    """Ends a job; what it was about is forgotten, it may name a person."""
    values: dict[str, Any] = {"state": state, "phase": "", "spec": None, "cursor": None}
    values |= {"updated": now_s(db), "lease_owner": None, "lease_until": None}
    if receipt is not None:
        values["receipt"] = json.dumps(dict(receipt))
    db.execute(update(jobs).where(jobs.c.id == job).values(**values))


def forget_spec(db: Connection, job: str) -> None:
    db.execute(update(jobs).where(jobs.c.id == job).values(spec=None, cursor=None))


def end_complete(db: Connection, which: Iterable[str]) -> None:
    """Ends those jobs of `which` that have nothing left to do; jobs with a phase end themselves."""
    for job in sorted(set(which)):  # in one order, so that no two wait for each other
        # Locked: of two that finish a job's last two items, the second must see both.
        row = db.execute(select(jobs).where(jobs.c.id == job).with_for_update()).one_or_none()
        if row is None or row.state not in UNDER_WAY:
            continue
        if row.phase or pending_items(db, job):
            db.execute(update(jobs).where(jobs.c.id == job).values(updated=now_s(db)))
            continue
        if row.state == CANCELLING:
            end_job(db, job, "cancelled")
            continue
        counts = counts_of(db, job)
        all_failed = counts.total > 0 and counts.failed == counts.total
        end_job(db, job, "failed" if all_failed else "done")


def prune(db: Connection, older_than_s: float, limit: int = 100) -> int:
    """Deletes jobs that ended long ago, with what is left of their items."""
    cutoff = now_s(db) - older_than_s
    old = select(jobs.c.id).where(jobs.c.state.in_(FINAL), jobs.c.updated < cutoff).limit(limit)
    gone = db.scalars(old).all()
    # An item may outlive its cancelled job for as long as somebody works on it.
    db.execute(delete(items).where(items.c.job.in_(gone), items.c.state != "running"))
    db.execute(delete(jobs).where(jobs.c.id.in_(gone)))
    return len(gone)


def _told(db: Connection, row: Row[Any]) -> Job:
    errors = db.execute(
        select(items.c.position, items.c.line, items.c.dialogue_id, items.c.at, items.c.why)
        .where(items.c.job == row.id, items.c.state == "failed")
        .order_by(items.c.position, items.c.id)
        .limit(ERRORS_SHOWN)
    )
    counts = counts_of(db, row.id)
    return Job(
        id=row.id,
        kind=row.kind,
        collection=row.collection,
        state=row.state,
        counts=counts,
        errors=[
            ItemError(
                item=e.position,
                line=e.line,
                dialogue_id=e.dialogue_id,
                at=e.at or "",
                why=e.why or "",
            )
            for e in errors
        ],
        receipt=json.loads(row.receipt) if row.receipt and row.state in FINAL else None,
        created=moment(row.created),
        updated=moment(row.updated),
        eta_s=_eta_s(db, row, counts),
    )


def _eta_s(db: Connection, row: Row[Any], counts: JobCounts) -> float | None:
    ended = counts.indexed + counts.failed
    left = counts.total - ended - counts.cancelled
    if row.state != "running" or row.started is None or not ended:
        return None
    return round((now_s(db) - float(row.started)) * left / ended, 1)


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
