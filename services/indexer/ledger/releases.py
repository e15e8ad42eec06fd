"""Owners of blobs that are to let go."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from services.indexer.ledger.database import now_s
from services.indexer.ledger.schema import releases


@dataclass(frozen=True, slots=True)
class Release:
    """Attributes:
    discard: what nobody else owns is deleted at once, not when it was unused for a while.
    keep: references that the owner goes on to own.
    """

    id: int
    tenant: str
    owner: str
    discard: bool
    keep: tuple[str, ...]


def let_go(
    db: Connection, tenant: str, owner: str | None, *, discard: bool, keep: Sequence[str] = ()
) -> None:
    """Notes that `owner` needs its blobs no more."""
    if owner is not None:
        db.execute(
            insert(releases).values(
                tenant=tenant, owner=owner, discard=discard, keep=json.dumps(list(keep)), due=0.0
            )
        )


def let_go_unless_adopted(db: Connection, tenant: str, owner: str, within_s: float) -> None:
    """Notes that `owner` is about to own blobs; if nothing comes of it, they go again."""
    due = now_s(db) + within_s
    db.execute(insert(releases).values(tenant=tenant, owner=owner, discard=False, due=due))


def adopt(db: Connection, tenant: str, owner: str) -> bool:
    """Takes the note back; False when it was too late."""
    found = db.execute(
        delete(releases).where(releases.c.tenant == tenant, releases.c.owner == owner)
    )
    return found.rowcount > 0


def due(db: Connection, limit: int = 200) -> list[Release]:
    rows = db.execute(
        select(releases).where(releases.c.due <= now_s(db)).order_by(releases.c.id).limit(limit)
    )
    return [
        Release(row.id, row.tenant, row.owner, row.discard, tuple(json.loads(row.keep)))
        for row in rows
    ]


def done(db: Connection, ids: Sequence[int]) -> None:
    db.execute(delete(releases).where(releases.c.id.in_(ids)))
