"""Indexers over doubles; ledgers on both databases."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from services.indexer.ledger import collections
from services.indexer.ledger.database import Database, ledger_url
from tests.integration.indexer.ledger_parts import SHELF, SPACE, Ledger
from tests.integration.indexer.postgres import Postgres, run_postgres
from tests.integration.indexer.stack import RunningIndexer, running_indexer


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with run_postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty ledger."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with closing(Database.open(ledger_url(url, None))) as opened:
        yield opened


@pytest.fixture
async def ledger(database: Database) -> Ledger:
    await database.write(lambda db: collections.add_shelf(db, SHELF, "dialogues", [SPACE], None))
    return Ledger(database)


@pytest.fixture
def indexer(tmp_path: Path) -> Iterator[RunningIndexer]:
    """One with a collection."""
    with running_indexer(tmp_path) as running:
        running.shelf()
        yield running
