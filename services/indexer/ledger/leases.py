"""Taking work up, holding it, and writing down how it ended.

An item is leased for a while; who holds it renews the lease. What is not renewed is somebody
else's. Nothing that an item did counts before `complete` has written it down, in one transaction
with the item's end: killed before, it is done again, and doing it again changes nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select, update

from colloquy.contracts.retrieval import CollectionRef
from services.indexer.domain import PUT, RENEW, Outcome, Work
from services.indexer.ledger.acceptance import next_number
from services.indexer.ledger.cancelling import give_up, is_cancelling, mend
from services.indexer.ledger.collections import Shelf, find_shelf
from services.indexer.ledger.database import now_s
from services.indexer.ledger.dialogues import URGENT, Key, drop, keep, stored_of
from services.indexer.ledger.jobs import end_complete
from services.indexer.ledger.releases import let_go
from services.indexer.ledger.schema import items, jobs
from services.indexer.ledger.turns import choose


@dataclass(frozen=True, slots=True)
class Completed:
    """Attributes:
    counted: outcomes that were written down.
    lost: those whose lease had gone over to somebody else, or whose collection changed meanwhile.
    """

    counted: Sequence[Outcome]
    lost: Sequence[Outcome]


def expire(db: Connection, but: str = "") -> int:
    """Gives back what nobody holds any more; returns how much.

    Not what `but` holds: who can ask lives, and was only late in renewing it.
    """
    given_back = db.execute(
        update(items)
        .where(
            items.c.state == "running",
            items.c.lease_until < now_s(db),
            items.c.lease_owner != but,
        )
        .values(state="queued", lease_owner=None, lease_until=None)
    )
    return given_back.rowcount


def lease(db: Connection, owner: str, lease_s: float, limit: int) -> list[Work]:
    """The next `limit` items that can be done, now held by `owner`: as many of each tenant as of
    any other that has so many, and of one tenant in the order in which they were accepted.

    Of one dialogue there is never more than one: what was accepted first is done first.
    """
    now = now_s(db)
    ids = choose(db, now, limit)
    if not ids:
        return []
    rows = db.execute(
        update(items)
        .where(items.c.id.in_(ids))
        .values(
            state="running",
            lease_owner=owner,
            lease_until=now + lease_s,
            attempts=items.c.attempts + 1,
        )
        .returning(*items.c)
    ).all()
    db.execute(
        update(jobs)
        .where(jobs.c.id.in_({row.job for row in rows if row.job}), jobs.c.state == "queued")
        .values(state="running", started=now, updated=now)
    )
    return _as_work(db, sorted(rows, key=lambda row: (row.priority, row.accepted, row.id)))


def renew(db: Connection, owner: str, lease_s: float) -> float:
    """Holds on to everything that `owner` has leased; returns until when."""
    until = now_s(db) + lease_s
    db.execute(
        update(items)
        .where(items.c.lease_owner == owner, items.c.state == "running")
        .values(lease_until=until)
    )
    db.execute(update(jobs).where(jobs.c.lease_owner == owner).values(lease_until=until))
    return until


def give_back(db: Connection, owner: str) -> int:
    """Lets go of everything that `owner` holds; others can take it at once."""
    given_back = db.execute(
        update(items)
        .where(items.c.lease_owner == owner, items.c.state == "running")
        .values(state="queued", lease_owner=None, lease_until=None)
    )
    db.execute(
        update(jobs).where(jobs.c.lease_owner == owner).values(lease_owner=None, lease_until=None)
    )
    return given_back.rowcount


def holders(db: Connection) -> set[str]:
    """Everybody who holds an item or a step of a job."""
    held = items.c.state == "running", items.c.lease_owner.is_not(None)
    stepping = select(jobs.c.lease_owner).where(jobs.c.lease_owner.is_not(None))
    return {*db.scalars(select(items.c.lease_owner).where(*held)), *db.scalars(stepping)}


def complete(db: Connection, owner: str, outcomes: Sequence[Outcome]) -> Completed:
    """Writes down how items ended."""
    counted: list[Outcome] = []
    lost: list[Outcome] = []
    for outcome in sorted(outcomes, key=lambda outcome: outcome.work.id):
        (counted if _complete_one(db, owner, outcome) else lost).append(outcome)
    end_complete(db, {o.work.job for o in outcomes if o.work.job is not None})
    return Completed(counted, lost)


def _complete_one(db: Connection, owner: str, outcome: Outcome) -> bool:
    work = outcome.work
    ref = CollectionRef(tenant=work.tenant, collection=work.collection)
    shelf = find_shelf(db, ref, lock=True)
    held = db.scalar(
        select(items.c.id)
        .where(items.c.id == work.id, items.c.lease_owner == owner, items.c.state == "running")
        .with_for_update()
    )
    if held is None:
        _mend_later(db, work, shelf)
        return False
    if shelf is None or shelf.reindex_job != work.reindex_job:
        # A reindex began or ended meanwhile: what was written may be missing on one side.
        _requeue(db, work)
        return False
    if outcome.state == "waiting" and work.action == PUT and is_cancelling(db, work.job):
        _requeue(db, work)
        give_up(db, work)
    elif outcome.state == "waiting":
        _requeue(db, work, outcome)
    elif outcome.state == "mend":
        _turn_into_mending(db, outcome)
    else:
        _end(db, outcome)
    return True


def _end(db: Connection, outcome: Outcome) -> None:
    work = outcome.work
    key: Key = (work.tenant, work.collection, work.dialogue_id)
    if outcome.gone:
        drop(db, key)
    elif outcome.kept is not None:
        keep(db, key, outcome.kept)
    _let_go_of_blobs(db, outcome)
    if work.job is None and work.why is None:
        db.execute(items.delete().where(items.c.id == work.id))
        return
    failed = outcome.state == "failed" or work.why is not None
    values: dict[str, Any] = {
        "state": "failed" if failed else "indexed",
        "content": None,
        "blob_owner": None,
        "lease_owner": None,
        "lease_until": None,
        "unchanged": outcome.unchanged,
        "degraded": outcome.degraded,
        "receipt": None if outcome.receipt is None else json.dumps(dict(outcome.receipt)),
    }
    if outcome.state == "failed":
        values |= {"at": outcome.at, "why": outcome.why}
    db.execute(update(items).where(items.c.id == work.id).values(**values))


def _let_go_of_blobs(db: Connection, outcome: Outcome) -> None:
    """The dialogue's pictures have the owner that the ledger names; every other lets go."""
    work, kept = outcome.work, outcome.kept
    stays = kept.blob_owner if kept is not None else None
    if work.blob_owner is not None and work.blob_owner != stays:
        let_go(db, work.tenant, work.blob_owner, discard=outcome.gone)
    before = work.stored.blob_owner if work.stored is not None else None
    if before is None or (kept is None and not outcome.gone):
        return
    if before != stays:
        let_go(db, work.tenant, before, discard=outcome.gone)
    elif outcome.receipt is not None:
        let_go(db, work.tenant, before, discard=True, keep=outcome.keep_blobs)


def _requeue(db: Connection, work: Work, after: Outcome | None = None) -> None:
    wait_s, failed, tried_s = 0.0, False, 0.0
    if after is not None:
        wait_s, failed, tried_s = after.wait_s, after.own_fault, after.tried_s
    db.execute(
        update(items)
        .where(items.c.id == work.id)
        .values(
            state="queued",
            lease_owner=None,
            lease_until=None,
            not_before=now_s(db) + wait_s,
            failures=items.c.failures + int(failed),
            tried_s=items.c.tried_s + tried_s,
        )
    )


def _turn_into_mending(db: Connection, outcome: Outcome) -> None:
    """The item has failed; it ends when what is searched is again what the ledger has."""
    work = outcome.work
    if work.blob_owner is not None:
        let_go(db, work.tenant, work.blob_owner, discard=False)
    _requeue(db, work)
    db.execute(
        update(items)
        .where(items.c.id == work.id)
        .values(
            action=RENEW,
            priority=URGENT,
            at=outcome.at,
            why=outcome.why,
            content=None,
            blob_owner=None,
        )
    )


def _mend_later(db: Connection, work: Work, shelf: Shelf | None) -> None:
    """Somebody else has the item, or it is gone; we may have written after them."""
    if shelf is None or shelf.dropping:
        return
    mend(db, next_number(db), work.tenant, work.collection, work.dialogue_id, work.turns)


def _as_work(db: Connection, rows: Sequence[Row[Any]]) -> list[Work]:
    stored = stored_of(db, [(row.tenant, row.collection, row.dialogue_id) for row in rows])
    shelves = {
        (row.tenant, row.collection): find_shelf(
            db, CollectionRef(tenant=row.tenant, collection=row.collection)
        )
        for row in {(row.tenant, row.collection): row for row in rows}.values()
    }
    specs = {
        row.id: json.loads(row.spec)
        for row in db.execute(
            select(jobs.c.id, jobs.c.spec).where(
                jobs.c.id.in_({row.job for row in rows if row.job}), jobs.c.spec.is_not(None)
            )
        )
    }
    found = []
    for row in rows:
        shelf = shelves[(row.tenant, row.collection)]
        if shelf is None:  # cannot be: a collection goes after its items
            continue
        found.append(_work_of(row, shelf, stored, specs))
    return found


def _work_of(
    row: Row[Any], shelf: Shelf, stored: dict[Key, Any], specs: dict[str, dict[str, Any]]
) -> Work:
    return Work(
        id=row.id,
        tenant=row.tenant,
        collection=row.collection,
        job=row.job,
        action=row.action,
        dialogue_id=row.dialogue_id,
        content=row.content,
        turns=row.turns,
        blob_owner=row.blob_owner,
        attempts=row.attempts,
        failures=row.failures,
        tried_s=row.tried_s,
        why=row.why,
        spec=specs.get(row.job),
        spaces=tuple(space.name for space in shelf.spaces),
        reindex_job=shelf.reindex_job,
        stored=stored.get((row.tenant, row.collection, row.dialogue_id)),
    )
