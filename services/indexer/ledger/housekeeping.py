"""What the ledger does by itself: retention, and counts of everything."""

from sqlalchemy import Connection, Select, distinct, exists, func, select

from colloquy.contracts.indexing import Summary
from services.indexer.domain import DELETE, PUT
from services.indexer.ledger.acceptance import add_work, next_number
from services.indexer.ledger.collections import Shelf, with_retention
from services.indexer.ledger.database import now_s
from services.indexer.ledger.jobs import PENDING, UNDER_WAY, add_job, end_complete
from services.indexer.ledger.schema import collections, dialogues, fragments, items, jobs

_DAY_S = 86_400
_PAGE = 1_000


def delete_expired(db: Connection) -> int:
    """Accepts the deletion of what was not changed for as long as its collection keeps things."""
    number = next_number(db)
    return sum(_delete_expired_of(db, shelf, number) for shelf in with_retention(db))


def _delete_expired_of(db: Connection, shelf: Shelf, number: int) -> int:
    cutoff = now_s(db) - (shelf.retention_days or 0) * _DAY_S
    waits = exists().where(
        items.c.tenant == dialogues.c.tenant,
        items.c.collection == dialogues.c.collection,
        items.c.dialogue_id == dialogues.c.id,
        items.c.state.in_(PENDING),
    )
    old = db.scalars(
        select(dialogues.c.id)
        .where(
            dialogues.c.tenant == shelf.tenant,
            dialogues.c.collection == shelf.name,
            dialogues.c.updated < cutoff,
            ~waits,
        )
        .limit(_PAGE)
    ).all()
    if old:
        job = add_job(db, tenant=shelf.tenant, collection=shelf.name, kind="retention")
        for identity in old:
            add_work(
                db,
                accepted=number,
                tenant=shelf.tenant,
                collection=shelf.name,
                dialogue_id=identity,
                action=DELETE,
                job=job,
            )
    return len(old)


def end_left_over(db: Connection) -> None:
    """Ends jobs whose last item ended together with the process that would have ended them."""
    left = db.scalars(
        select(jobs.c.id).where(
            jobs.c.state.in_(UNDER_WAY),
            jobs.c.phase == "",
            ~exists().where(items.c.job == jobs.c.id, items.c.state.in_(PENDING)),
        )
    ).all()
    end_complete(db, left)


def summarise(db: Connection) -> Summary:
    def count(query: Select[int]) -> int:
        return db.scalar(query) or 0

    waiting = items.c.state.in_(PENDING) & (items.c.action == PUT)
    key = items.c.tenant + "/" + items.c.collection + "/" + items.c.dialogue_id
    states = db.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state)).all()
    return Summary(
        collections=count(
            select(func.count()).select_from(collections).where(collections.c.dropping.is_(False))
        ),
        dialogues=count(select(func.count()).select_from(dialogues)),
        fragments=count(select(func.count()).select_from(fragments)),
        pending=count(select(func.count(distinct(key))).where(waiting)),
        failed=count(select(func.count()).where(items.c.state == "failed")),
        jobs={row[0]: row[1] for row in states},
    )


def depths(db: Connection) -> dict[str, int]:
    """Items that wait or are being done, by state."""
    rows = db.execute(
        select(items.c.state, func.count())
        .where(items.c.state.in_(PENDING))
        .group_by(items.c.state)
    )
    return {row[0]: row[1] for row in rows}
