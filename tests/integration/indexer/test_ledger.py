"""Opening a ledger and writing to it, on both databases."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import inspect, select, text, update

from colloquy.servicekit.problems import NotFound
from services.indexer.ledger import (
    collections,
    schema,
)
from services.indexer.ledger.database import Database, LedgerRefused, ledger_url
from tests.integration.indexer.ledger_parts import SHELF, SPACE, Ledger, talk

pytestmark = pytest.mark.integration


async def test_a_ledger_keeps_what_it_was_told(url: str) -> None:
    with closing(Database.open(ledger_url(url, None))) as database:
        await database.write(lambda db: collections.add_shelf(db, SHELF, "dialogues", [SPACE], 7))
    with closing(Database.open(ledger_url(url, None))) as database:
        found = await database.read(lambda db: collections.open_shelf(db, SHELF))

    assert (found.spaces, found.retention_days) == ((SPACE,), 7)


async def test_a_ledger_that_a_newer_colloquy_made_is_refused(url: str) -> None:
    with closing(Database.open(ledger_url(url, None))) as database:
        await database.write(
            lambda db: db.execute(update(schema.schema_version).values(version=99))
        )

    with pytest.raises(LedgerRefused, match="schema 99, made by a newer Colloquy"):
        Database.open(ledger_url(url, None))


async def test_a_ledger_of_the_first_schema_is_brought_to_this_one(url: str) -> None:
    def as_it_was(db: Any) -> None:
        for made in (
            "DROP INDEX items_to_lease",
            "DROP TABLE turns",
            "ALTER TABLE items DROP COLUMN tried_s",
            "CREATE INDEX items_to_do ON items (state, priority, accepted, id)",
            "UPDATE schema_version SET version = 1",
        ):
            db.execute(text(made))

    with closing(Database.open(ledger_url(url, None))) as database:
        await database.write(
            lambda db: collections.add_shelf(db, SHELF, "dialogues", [SPACE], None)
        )
        job = await Ledger(database).send(talk("a"))
        await database.write(as_it_was)

    with closing(Database.open(ledger_url(url, None))) as database:
        indexes = await database.read(lambda db: inspect(db).get_indexes("items"))
        version = await database.read(lambda db: db.scalar(select(schema.schema_version)))
        await Ledger(database).index_all()
        found = await Ledger(database).job(job)

    names = {index["name"] for index in indexes}
    assert names == {index.name for index in schema.items.indexes}
    assert (version, found.state) == (schema.VERSION, "done")


async def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    def fail(db: Any) -> None:
        collections.add_shelf(db, SHELF, "dialogues", [SPACE], None)
        raise NotFound

    with pytest.raises(NotFound):
        await database.write(fail)

    assert await database.read(lambda db: collections.find_shelf(db, SHELF)) is None


def test_two_that_open_an_empty_ledger_at_once_both_succeed(url: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as threads:
        opened = list(threads.map(lambda _: Database.open(ledger_url(url, None)), range(4)))

    for database in opened:
        database.close()


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("mysql://host/x", "SQLite or PostgreSQL"),
        ("not an address", "not a database URL"),
        ("postgresql://user:word@host/x", "belongs into the environment"),
    ],
)
def test_an_address_that_is_no_ledgers_is_refused(address: str, why: str) -> None:
    with pytest.raises(LedgerRefused, match=why):
        ledger_url(address, None)


def test_the_password_of_the_environment_reaches_the_address_and_no_print() -> None:
    url = ledger_url("postgresql://user@host/x", SecretStr("word"))

    assert url.password == "word"
    assert "word" not in repr(url)


def test_a_ledger_whose_folder_cannot_be_made_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LedgerRefused, match="/file: File exists"):
        Database.open(ledger_url(f"sqlite:///{tmp_path}/file/x.db", None))


def test_a_ledger_that_cannot_be_reached_says_so_without_its_address() -> None:
    with pytest.raises(LedgerRefused, match="cannot be opened") as refused:
        Database.open(ledger_url("postgresql://user@127.0.0.1:1/x", None))

    assert "127.0.0.1" not in str(refused.value)
