"""A ledger that an older Colloquy made, brought to the tables of this one.

Tables that are new are made with all the others; here is what becomes of those that were there.
"""

from collections.abc import Callable, Mapping

from sqlalchemy import Connection, text, update

from services.indexer.ledger.schema import VERSION, items, schema_version


def upgrade(db: Connection, found: int) -> None:
    """Takes one step after the other, in the transaction that opens the ledger."""
    for version in range(found, VERSION):
        _STEPS[version](db)
    db.execute(update(schema_version).values(version=VERSION))


def _lease_by_tenant(db: Connection) -> None:
    db.execute(text("DROP INDEX IF EXISTS items_to_do"))
    _index(db, "items_to_lease")


def _count_time(db: Connection) -> None:
    db.execute(text("ALTER TABLE items ADD COLUMN tried_s FLOAT NOT NULL DEFAULT 0"))


def _index(db: Connection, name: str) -> None:
    (made,) = (index for index in items.indexes if index.name == name)
    made.create(db, checkfirst=True)


_STEPS: Mapping[int, Callable[[Connection], None]] = {1: _lease_by_tenant, 2: _count_time}
