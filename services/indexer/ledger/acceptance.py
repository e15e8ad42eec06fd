"""Accepting work: nothing is accepted before the transaction that says so is on the disk."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from colloquy.contracts.collections import ItemError
from colloquy.contracts.indexing import AddItems, JobRef, OpenedJob, OpenJob, SealJob
from colloquy.contracts.retrieval import CollectionRef
from colloquy.servicekit.problems import Conflict
from services.indexer.domain import PUT, Action, content_of, digest
from services.indexer.ledger.collections import open_shelf
from services.indexer.ledger.database import now_s
from services.indexer.ledger.jobs import add_job, cancel_items, end_complete, job_row
from services.indexer.ledger.releases import let_go
from services.indexer.ledger.schema import counters, items, jobs


def next_number(db: Connection) -> int:
    """The next number in the order of acceptance.

    To be taken before anything else of the transaction is read: it holds the others back, so that
    each sees all that was accepted before it.
    """
    return int(
        db.scalar(
            update(counters)
            .where(counters.c.name == "accepted")
            .values(value=counters.c.value + 1)
            .returning(counters.c.value)
        )
        or 0
    )


def open_job(db: Connection, asked: OpenJob) -> OpenedJob:
    """
    Raises:
        CollectionMissing: there is no such collection.
        Conflict: the key was used for something else.
    """
    next_number(db)
    open_shelf(db, asked)
    key = hashed(asked.idempotency_key)
    earlier = job_of_key(db, asked, key, "ingest", asked.body_sha256)
    if earlier is not None:
        if earlier.state != "receiving":
            return _opened(db, earlier.id, sealed=True)
        # Whoever was sending it broke off, or goes on in vain: only this one can be sealed now.
        discard_job(db, earlier.id)
    job = add_job(
        db,
        tenant=asked.tenant,
        collection=asked.collection,
        kind="ingest",
        state="receiving",
        idempotency_key=key,
        body_sha256=asked.body_sha256,
    )
    return OpenedJob(job=job, sealed=False)


def job_of_key(
    db: Connection, ref: CollectionRef, key: str | None, kind: str, body_sha256: str
) -> Row[Any] | None:
    """The job that an earlier request with this key made.

    Raises:
        Conflict: that was another request.
    """
    if key is None:
        return None
    row = db.execute(
        select(jobs).where(jobs.c.tenant == ref.tenant, jobs.c.idempotency_key == key)
    ).one_or_none()
    if row is None:
        return None
    same = (row.collection, row.kind, row.body_sha256) == (ref.collection, kind, body_sha256)
    if not same:
        raise Conflict("the idempotency key was used for another request")
    return row


def hashed(key: str | None) -> str | None:
    """Keys are kept as hashes: they are the caller's text, and may say anything."""
    return None if key is None else digest(key)


def add_items(db: Connection, asked: AddItems) -> list[tuple[str, Sequence[str]]]:
    """Takes items in, unseen until the job is sealed; sending them again changes nothing.

    Returns the owner and the pictures of each, which the caller now retains.
    """
    _receiving(db, asked)
    collection = job_row(db, JobRef(tenant=asked.tenant, job=asked.job)).collection
    rows: list[dict[str, Any]] = []
    owners: list[tuple[str, Sequence[str]]] = []
    for item in asked.items:
        if "\0" in str(item.dialogue.id):
            why = "an id holds no NUL character"
            rows.append(_failed(ItemError(item=item.position, at="id", why=why)))
            continue
        owner = f"{asked.job}:{item.position}" if item.dialogue.images else None
        if owner is not None:
            owners.append((owner, item.dialogue.images))
        rows.append(
            {
                "position": item.position,
                "dialogue_id": item.dialogue.id,
                "state": "received",
                "content": content_of(item.dialogue),
                "turns": len(item.dialogue.utterances),
                "blob_owner": owner,
            }
        )
    rows += [_failed(error) for error in asked.errors]
    same = {"tenant": asked.tenant, "collection": collection, "job": asked.job, "action": PUT}
    for row in rows:
        _insert_once(db, same | row)
    return owners


def refuse_items(db: Connection, asked: JobRef, errors: Sequence[ItemError]) -> None:
    """Items of a job that is being received turn out to be wrong."""
    for error in errors:
        which = (items.c.job == asked.job) & (items.c.position == error.item)
        let_go(db, asked.tenant, f"{asked.job}:{error.item}", discard=False)
        db.execute(
            update(items)
            .where(which)
            .values(state="failed", at=error.at, why=error.why, content=None, blob_owner=None)
        )


def seal_job(db: Connection, asked: SealJob) -> OpenedJob:
    """Accepts everything of a job at once. Sealing again changes nothing."""
    number = next_number(db)
    row = job_row(db, asked)
    if row.state == "receiving":
        open_shelf(db, CollectionRef(tenant=row.tenant, collection=row.collection), lock=True)
        db.execute(
            update(items)
            .where(items.c.job == row.id, items.c.state == "received")
            .values(state="queued", accepted=number)
        )
        db.execute(
            update(jobs).where(jobs.c.id == row.id).values(state="queued", updated=now_s(db))
        )
        end_complete(db, [row.id])
    elif row.state == "cancelled":
        raise Conflict("the job was cancelled")
    return _opened(db, row.id, sealed=True)


def add_work(
    db: Connection,
    *,
    accepted: int,
    tenant: str,
    collection: str,
    dialogue_id: str,
    action: Action,
    job: str | None,
    **more: Any,
) -> None:
    """One item that is accepted with this transaction."""
    row = {
        "tenant": tenant,
        "collection": collection,
        "dialogue_id": dialogue_id,
        "action": action,
        "job": job,
        "accepted": accepted,
        "state": "queued",
    }
    _insert_once(db, row | more)


def discard_job(db: Connection, job: str) -> None:
    """Takes a job away that was never sealed; its pictures' owners let go."""
    cancel_items(db, items.c.job == job)
    db.execute(items.delete().where(items.c.job == job))
    db.execute(jobs.delete().where(jobs.c.id == job))


def sweep_unsealed(db: Connection, older_than_s: float) -> int:
    """Jobs that nobody has sent anything of for so long; returns how many."""
    cutoff = now_s(db) - older_than_s
    left = db.scalars(
        select(jobs.c.id).where(jobs.c.state == "receiving", jobs.c.updated < cutoff)
    ).all()
    for job in left:
        discard_job(db, job)
    return len(left)


def _receiving(db: Connection, asked: JobRef | AddItems) -> None:
    changed = db.execute(
        update(jobs)
        .where(jobs.c.id == asked.job, jobs.c.tenant == asked.tenant, jobs.c.state == "receiving")
        .values(updated=now_s(db))
    )
    if not changed.rowcount:
        job_row(db, JobRef(tenant=asked.tenant, job=asked.job))
        raise Conflict("the job is sealed; it takes no more items")


def _failed(error: ItemError) -> dict[str, Any]:
    return {
        "position": error.item,
        "line": error.line,
        "dialogue_id": None if error.dialogue_id is None else error.dialogue_id.replace("\0", ""),
        "state": "failed",
        "at": error.at.replace("\0", ""),
        "why": error.why,
    }


def _insert_once(db: Connection, row: dict[str, Any]) -> None:
    """Positions are unique in a job: what was sent twice is there once."""
    dialect = sqlite if db.dialect.name == "sqlite" else postgresql
    db.execute(dialect.insert(items).values(**row).on_conflict_do_nothing())


def _opened(db: Connection, job: str, *, sealed: bool) -> OpenedJob:
    failed = (items.c.state == "failed").label("failed")
    rows = db.execute(select(failed, func.count()).where(items.c.job == job).group_by(failed)).all()
    by = {bool(row[0]): row[1] for row in rows}
    return OpenedJob(job=job, sealed=sealed, accepted=by.get(False, 0), failed=by.get(True, 0))
