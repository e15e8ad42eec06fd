"""Collections: their form, what they hold, and how they go."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    delete,
    distinct,
    func,
    insert,
    literal,
    select,
    update,
)

from colloquy.contracts.collections import Collection
from colloquy.contracts.retrieval import CollectionRef, SpaceState
from colloquy.servicekit.problems import CollectionMissing, Conflict, TooManyCollections
from services.indexer.domain import PUT
from services.indexer.ledger.database import now_s
from services.indexer.ledger.jobs import PENDING, moment
from services.indexer.ledger.schema import (
    collections,
    dialogues,
    fragments,
    items,
    jobs,
    releases,
)


@dataclass(frozen=True, slots=True)
class Shelf:
    """A collection as the ledger has it."""

    tenant: str
    name: str
    kind: str
    spaces: tuple[SpaceState, ...]
    retention_days: int | None
    created: float
    dropping: bool
    reindex_job: str | None


def find_shelf(db: Connection, ref: CollectionRef, *, lock: bool = False) -> Shelf | None:
    """The collection, though it may be going; locked, nobody changes it before the end."""
    query = select(collections).where(
        collections.c.tenant == ref.tenant, collections.c.name == ref.collection
    )
    row = db.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        return None
    spaces = tuple(SpaceState.model_validate(space) for space in json.loads(row.spaces))
    return Shelf(
        row.tenant, row.name, row.kind, spaces, row.retention_days,
        row.created, row.dropping, row.reindex_job,
    )  # fmt: skip


def open_shelf(db: Connection, ref: CollectionRef, *, lock: bool = False) -> Shelf:
    """
    Raises:
        CollectionMissing: there is none, or it is going.
    """
    shelf = find_shelf(db, ref, lock=lock)
    if shelf is None or shelf.dropping:
        raise CollectionMissing("there is no collection of that name")
    return shelf


def add_shelf(
    db: Connection,
    ref: CollectionRef,
    kind: str,
    spaces: Sequence[SpaceState],
    retention_days: int | None,
) -> None:
    """
    Raises:
        Conflict: somebody else made it just now.
    """
    if find_shelf(db, ref) is not None:
        raise Conflict("the collection is being made or dropped by another request")
    db.execute(
        insert(collections).values(
            tenant=ref.tenant,
            name=ref.collection,
            kind=kind,
            spaces=_written(spaces),
            retention_days=retention_days,
            created=now_s(db),
            dropping=False,
        )
    )


def check_room(db: Connection, ref: CollectionRef, most: int | None) -> None:
    """
    Raises:
        TooManyCollections: the tenant has `most` others; those that are going count no more.
    """
    others = (collections.c.tenant == ref.tenant) & (collections.c.name != ref.collection)
    others &= collections.c.dropping.is_(False)
    if most is None or (db.scalar(select(func.count()).where(others)) or 0) < most:
        return
    raise TooManyCollections(f"there may be at most {most} collections; drop one that is not used")


def keep_for_days(db: Connection, ref: CollectionRef, days: int | None) -> None:
    db.execute(update(collections).where(_is(ref)).values(retention_days=days))


def keep_spaces(db: Connection, ref: CollectionRef, spaces: Sequence[SpaceState]) -> None:
    db.execute(update(collections).where(_is(ref)).values(spaces=_written(spaces)))


def set_reindex_job(db: Connection, ref: CollectionRef, job: str | None) -> None:
    db.execute(update(collections).where(_is(ref)).values(reindex_job=job))


def describe(db: Connection, shelf: Shelf) -> Collection:
    mine = (dialogues.c.tenant == shelf.tenant) & (dialogues.c.collection == shelf.name)
    pieces = (fragments.c.tenant == shelf.tenant) & (fragments.c.collection == shelf.name)
    waiting = (
        (items.c.tenant == shelf.tenant)
        & (items.c.collection == shelf.name)
        & items.c.state.in_(PENDING)
        & (items.c.action == PUT)
    )
    return Collection(
        name=shelf.name,
        kind="documents" if shelf.kind == "documents" else "dialogues",
        spaces=list(shelf.spaces),
        retention_days=shelf.retention_days,
        dialogues=db.scalar(select(func.count()).select_from(dialogues).where(mine)) or 0,
        fragments=db.scalar(select(func.count()).select_from(fragments).where(pieces)) or 0,
        pending=db.scalar(select(func.count(distinct(items.c.dialogue_id))).where(waiting)) or 0,
        created=moment(shelf.created),
    )


def list_shelves(
    db: Connection, tenant: str, limit: int, cursor: str | None
) -> tuple[list[Shelf], str | None]:
    query = select(collections.c.name).where(
        collections.c.tenant == tenant, collections.c.dropping.is_(False)
    )
    if cursor is not None:
        query = query.where(collections.c.name > cursor)
    names = db.scalars(query.order_by(collections.c.name).limit(limit + 1)).all()
    shelves = [
        shelf
        for name in names[:limit]
        if (shelf := find_shelf(db, CollectionRef(tenant=tenant, collection=name))) is not None
    ]
    return shelves, names[limit - 1] if len(names) > limit else None


def begin_drop(db: Connection, ref: CollectionRef) -> bool:
    """Takes everything of a collection out of the ledger but its name; false when none is there.

    The name goes with `end_drop`, when the vectors are gone: until then nobody can make it anew.
    """
    if find_shelf(db, ref, lock=True) is None:
        return False
    db.execute(update(collections).where(_is(ref)).values(dropping=True, reindex_job=None))
    names = ["tenant", "owner", "discard", "keep", "due"]
    for table in (items, dialogues):
        mine = (table.c.tenant == ref.tenant) & (table.c.collection == ref.collection)
        owners = select(
            table.c.tenant, table.c.blob_owner, literal(True), literal("[]"), literal(0.0)
        ).where(mine, table.c.blob_owner.is_not(None))
        db.execute(insert(releases).from_select(names, owners))
        db.execute(delete(table).where(mine))
    pieces = (fragments.c.tenant == ref.tenant) & (fragments.c.collection == ref.collection)
    db.execute(delete(fragments).where(pieces))
    db.execute(delete(jobs).where(jobs.c.tenant == ref.tenant, jobs.c.collection == ref.collection))
    return True


def end_drop(db: Connection, ref: CollectionRef) -> None:
    db.execute(delete(collections).where(_is(ref), collections.c.dropping.is_(True)))


def half_dropped(db: Connection) -> list[CollectionRef]:
    """Collections whose drop was begun and not ended."""
    rows = db.execute(
        select(collections.c.tenant, collections.c.name).where(collections.c.dropping.is_(True))
    )
    return [CollectionRef(tenant=row.tenant, collection=row.name) for row in rows]


def with_retention(db: Connection) -> list[Shelf]:
    rows = db.execute(
        select(collections.c.tenant, collections.c.name).where(
            collections.c.dropping.is_(False), collections.c.retention_days.is_not(None)
        )
    ).all()
    refs = (CollectionRef(tenant=row.tenant, collection=row.name) for row in rows)
    return [shelf for ref in refs if (shelf := find_shelf(db, ref)) is not None]


def _is(ref: CollectionRef) -> ColumnElement[bool]:
    return (collections.c.tenant == ref.tenant) & (collections.c.name == ref.collection)


def _written(spaces: Sequence[SpaceState]) -> str:
    return json.dumps([space.model_dump() for space in spaces])
