"""The database under the ledger: SQLite or PostgreSQL by URL, synchronous, in threads."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SecretStr
from sqlalchemy import Connection, Engine, create_engine, event, insert, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    NoSuchModuleError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from colloquy.servicekit.problems import NotFound, Unavailable
from services.indexer.ledger.schema import VERSION, counters, metadata, schema_version
from services.indexer.ledger.upgrades import upgrade

Result = TypeVar("Result")
_BUSY_S = 30
_BUSY_AGAIN_S = 0.02
_THREADS = 4
_WRITE = "colloquy_write"
# PostgreSQL ends one of two transactions that wait for each other; it is then done again.
_TRIES = 5
_RETRIED_STATES = frozenset({"40001", "40P01"})
_CREATE_LOCK = 7_420_156


class LedgerRefused(Exception):
    """The ledger cannot be used; the message says why, in one line."""


def ledger_url(url: str, password: SecretStr | None) -> URL:
    """Checks the address of a ledger and puts its password in.

    Raises:
        LedgerRefused: it is neither SQLite nor PostgreSQL, or carries a password itself.
    """
    try:
        made = make_url(url)
    except ArgumentError:
        raise LedgerRefused("the ledger's address is not a database URL") from None
    backend = made.get_backend_name()
    if backend not in {"sqlite", "postgresql"}:
        raise LedgerRefused("a ledger is SQLite or PostgreSQL")
    if made.password is not None:
        raise LedgerRefused("the ledger's password belongs into the environment, not the profile")
    if backend == "postgresql":
        made = made.set(drivername="postgresql+psycopg")
        if password is not None:
            made = made.set(password=password.get_secret_value())
    return made


class Database:
    """Runs transactions in threads; the functions that it is given block.

    SQLite takes one writer at a time: those of this process queue here, those of others wait for
    the file's lock. What `write` returned is on the disk.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._readers = ThreadPoolExecutor(_THREADS, thread_name_prefix="ledger-read")
        writers = 1 if self.is_sqlite else _THREADS
        self._writers = ThreadPoolExecutor(writers, thread_name_prefix="ledger-write")

    @classmethod
    def open(cls, url: URL) -> "Database":
        """Connects, and makes the tables where there are none.

        Raises:
            LedgerRefused: it cannot be reached, or a newer Colloquy made it.
        """
        is_sqlite = url.get_backend_name() == "sqlite"
        if is_sqlite and url.database:
            _make_folder(Path(url.database).parent)
        engine = _sqlite(url) if is_sqlite else _postgres(url)
        try:
            with engine.execution_options(**{_WRITE: True}).begin() as db:
                _prepare(db)
        except LedgerRefused:
            engine.dispose()
            raise
        except (SQLAlchemyError, NoSuchModuleError, OSError) as error:
            engine.dispose()
            raise LedgerRefused(f"the ledger cannot be opened: {type(error).__name__}") from error
        return cls(engine)

    def close(self) -> None:
        self._readers.shutdown(wait=True, cancel_futures=True)
        self._writers.shutdown(wait=True, cancel_futures=True)
        self._engine.dispose()

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """One transaction that only reads: it sees one state of the ledger.

        Raises:
            Unavailable: the database cannot be reached.
        """
        return await self._run(self._readers, self._engine, work)

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """One transaction, committed when this returns. `work` may run again; see `_TRIES`."""
        engine = self._engine.execution_options(**{_WRITE: True})
        return await self._run(self._writers, engine, work)

    async def _run(
        self, threads: ThreadPoolExecutor, engine: Engine, work: Callable[[Connection], Result]
    ) -> Result:
        def transact() -> Result:
            with engine.begin() as db:
                return work(db)

        def tried() -> Result:
            for _ in range(_TRIES - 1):
                try:
                    return transact()
                except DBAPIError as error:
                    if getattr(error.orig, "sqlstate", None) not in _RETRIED_STATES:
                        raise
            return transact()

        try:
            return await asyncio.get_running_loop().run_in_executor(threads, tried)
        except DataError as error:
            # Only what is looked up can be so: nothing is written that was not looked at first.
            raise NotFound("nothing has a name with such characters") from error
        except (DBAPIError, PoolTimeout) as error:
            raise Unavailable("the ledger cannot be used now") from error

    async def forget(self) -> None:
        """Removes from the files what was deleted from the tables, as far as the database can."""

        def checkpoint() -> None:
            with self._engine.connect() as db:
                if self.is_sqlite:
                    db.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
                else:
                    db.execution_options(isolation_level="AUTOCOMMIT")
                    db.execute(text("VACUUM items, dialogues, fragments, jobs"))

        await asyncio.get_running_loop().run_in_executor(self._writers, checkpoint)


def now_s(db: Connection) -> float:
    """The time by the database's clock: indexers on several machines need one."""
    if db.dialect.name == "sqlite":
        return time.time()
    return float(db.scalar(text("SELECT extract(epoch FROM clock_timestamp())")))


def _prepare(db: Connection) -> None:
    if db.dialect.name == "postgresql":  # two that start at once must not both make the tables
        db.execute(text(f"SELECT pg_advisory_xact_lock({_CREATE_LOCK})"))
    metadata.create_all(db)
    found = db.scalar(select(schema_version.c.version))
    if found is None:
        db.execute(insert(schema_version).values(version=VERSION))
        db.execute(insert(counters).values(name="accepted", value=0))
    elif found > VERSION:
        raise LedgerRefused(
            f"the ledger has schema {found}, made by a newer Colloquy; this one knows {VERSION}"
        )
    elif found < VERSION:
        upgrade(db, found)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerRefused(f"the ledger's folder {folder}: {error.strerror}") from error


def _sqlite(url: URL) -> Engine:
    engine = create_engine(
        url,
        connect_args={"timeout": _BUSY_S, "check_same_thread": False},
        json_serializer=json.dumps,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: Any) -> None:
        # Transactions are begun by hand below; the driver would begin them too late.
        connection.isolation_level = None
        _turn_to_wal(connection)
        for pragma in (
            "synchronous = FULL",  # acknowledged means on disk, even when the power fails
            "secure_delete = ON",  # what is deleted is overwritten
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(db: Connection) -> None:
        # A transaction that reads first and writes later could meet another's; this one waits.
        writes = db.get_execution_options().get(_WRITE, False)
        db.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _turn_to_wal(connection: sqlite3.Connection) -> None:
    """SQLite does not wait here as long as elsewhere: of two that turn a new file at once, each of
    which reads it, one is refused without a wait."""
    until = time.monotonic() + _BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > until:
                raise
            time.sleep(_BUSY_AGAIN_S)


def _postgres(url: URL) -> Engine:
    return create_engine(url, pool_size=2 * _THREADS, pool_pre_ping=True, pool_recycle=1_800)
