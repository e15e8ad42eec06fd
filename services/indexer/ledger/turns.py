"""Whose work is next: tenants share what there is room for, whoever of them has sent how much."""

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, exists, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from services.indexer.ledger.jobs import PENDING
from services.indexer.ledger.schema import items, turns


def choose(db: Connection, now: float, room: int) -> list[int]:
    """Ids of at most `room` items that can be done now, kept from everybody else until the end of
    the transaction.

    A tenant with less under way goes before one with more, whoever holds it; among equals, the one
    that was served longest ago.
    """
    order = _waiting(db)
    load = Counter(_running(db))
    chosen: dict[str, list[int]] = {}
    left = room
    while left and order:
        for tenant, share in share_out(load, order, left).items():
            mine = chosen.setdefault(tenant, [])
            found = _first(db, tenant, now, share, but=mine)
            mine += found
            load[tenant] += len(found)
            left -= len(found)
            if len(found) < share:  # the others have what it leaves
                order.remove(tenant)
    _note(db, [tenant for tenant, ids in chosen.items() if ids])
    return [identity for ids in chosen.values() for identity in ids]


def share_out(load: Mapping[str, int], order: Sequence[str], room: int) -> dict[str, int]:
    """How many places each tenant gets, one after the other to whoever has fewest.

    Args:
        load: what each has under way.
        order: those who want more; among equals the first goes first.
    """
    heap = [(load.get(tenant, 0), place, tenant) for place, tenant in enumerate(order)]
    heapq.heapify(heap)
    shares: Counter[str] = Counter()
    for _ in range(room if heap else 0):
        held, place, tenant = heap[0]
        shares[tenant] += 1
        heapq.heapreplace(heap, (held + 1, place, tenant))
    return dict(shares)


def _waiting(db: Connection) -> list[str]:
    """Tenants with something queued, who was served longest ago first."""
    # From one tenant's first item to the next one's: all of them would be as long as the queue.
    queued = items.c.state == "queued"
    found = select(func.min(items.c.tenant).label("tenant")).where(queued)
    walk = found.cte("waiting", recursive=True)
    following = select(func.min(items.c.tenant)).where(queued, items.c.tenant > walk.c.tenant)
    walk = walk.union_all(select(following.scalar_subquery()).where(walk.c.tenant.is_not(None)))
    query = (
        select(walk.c.tenant)
        .outerjoin(turns, turns.c.tenant == walk.c.tenant)
        .where(walk.c.tenant.is_not(None))
        .order_by(func.coalesce(turns.c.turn, 0), walk.c.tenant)
    )
    return list(db.scalars(query))


def _running(db: Connection) -> dict[str, int]:
    rows = db.execute(
        select(items.c.tenant, func.count())
        .where(items.c.state == "running")
        .group_by(items.c.tenant)
    )
    return {row[0]: row[1] for row in rows}


def _first(
    db: Connection, tenant: str, now: float, limit: int, but: Sequence[int]
) -> Sequence[int]:
    earlier = items.alias("earlier")
    before = or_(
        earlier.c.accepted < items.c.accepted,
        (earlier.c.accepted == items.c.accepted) & (earlier.c.id < items.c.id),
    )
    blocked = exists().where(
        earlier.c.tenant == items.c.tenant,
        earlier.c.collection == items.c.collection,
        earlier.c.dialogue_id == items.c.dialogue_id,
        earlier.c.state.in_(PENDING),
        before,
    )
    free = (
        select(items.c.id)
        .where(
            items.c.state == "queued",
            items.c.tenant == tenant,
            items.c.not_before <= now,
            items.c.id.not_in(but),
            ~blocked,
        )
        .order_by(items.c.priority, items.c.accepted, items.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True, of=items)
    )
    return db.scalars(free).all()


def _note(db: Connection, served: Sequence[str]) -> None:
    """Each of `served` has had its turn, in this order."""
    if not served:
        return
    last = db.scalar(select(func.max(turns.c.turn))) or 0
    rows = [{"tenant": tenant, "turn": last + place} for place, tenant in enumerate(served, 1)]
    dialect = sqlite if db.dialect.name == "sqlite" else postgresql
    # In one order, so that no two wait for each other.
    told = dialect.insert(turns).values(sorted(rows, key=lambda row: str(row["tenant"])))
    db.execute(
        told.on_conflict_do_update(index_elements=["tenant"], set_={"turn": told.excluded.turn})
    )
