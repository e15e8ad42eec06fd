"""The blob store: re-encoded pictures, kept by tenant, named by a reference only we can make."""

import hashlib
import hmac
import os
import re
import secrets
import sqlite3
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from colloquy.contracts.operation import Check
from colloquy.media.failures import BlobMissing
from colloquy.media.headers import BrokenHeader, NotAnImage, read_header

PREFIX = "blob:"
_REF = re.compile(r"blob:([0-9a-f]{64})")
_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
# A reference used within the hour is not written down again.
_TOUCH_EVERY_S = 3_600
_SWEEP_BATCH = 200
_MIN_FREE_BYTES = 64 * 2**20
_SCHEMA = """
CREATE TABLE IF NOT EXISTS blobs (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    touched_s REAL NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS blobs_by_touch ON blobs (touched_s);
CREATE TABLE IF NOT EXISTS owners (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    PRIMARY KEY (tenant, name, owner)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS owners_by_owner ON owners (tenant, owner);
"""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A picture in the store, as its tenant refers to it."""

    ref: str
    media_type: str
    width: int
    height: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Blob:
    data: bytes
    media_type: str
    width: int
    height: int


class BlobReader:
    """Reads blobs; all that a service behind the gateway needs.

    A reference is an HMAC over tenant and content, and a file lies in its tenant's folder. So a
    reference of another tenant, an invented one and a forgotten one are the same: missing. What is
    read is checked against its reference, so a damaged file is missing too.
    """

    def __init__(self, root: Path, key: bytes) -> None:
        if len(key) < 16:
            raise ValueError("the key of blob references needs at least 16 bytes")
        self._root = root
        self._key = key

    def get(self, tenant: str, ref: str) -> Blob:
        """The picture that `ref` names for `tenant`.

        Raises:
            BlobMissing: there is none, for this tenant.
        """
        name = self._name_in(tenant, ref)
        try:
            data = self._path(tenant, name).read_bytes()
        except OSError:
            raise BlobMissing from None
        if not hmac.compare_digest(self._name_of(tenant, data), name):
            raise BlobMissing
        try:
            header = read_header(data)
        except (NotAnImage, BrokenHeader):
            raise BlobMissing from None
        return Blob(data, header.media_type, header.width, header.height)

    def _name_of(self, tenant: str, data: bytes) -> str:
        content = tenant.encode() + b"\0" + hashlib.sha256(data).digest()
        return hmac.new(self._key, content, hashlib.sha256).hexdigest()

    def _name_in(self, tenant: str, ref: str) -> str:
        match = _REF.fullmatch(ref)
        if match is None or not _TENANT.fullmatch(tenant):
            raise BlobMissing
        return match[1]

    def _path(self, tenant: str, name: str) -> Path:
        return self._root / tenant / name[:2] / name


class BlobStore(BlobReader):
    """Reads and writes blobs, and remembers who needs them.

    A blob lives while it has an owner (a dialogue of a collection, say); one without is swept when
    it has not been used for a while. References and owners are in SQLite, so many processes may
    share a store. Blocking; call it from a thread where that matters.
    """

    def __init__(self, root: Path, key: bytes) -> None:
        super().__init__(root, key)
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = Lock()
        self._db = sqlite3.connect(
            root / "blobs.sqlite", timeout=10, isolation_level=None, check_same_thread=False
        )
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def check(self) -> Check:
        """Not ready when nothing could be written."""
        detail = None
        try:
            space = os.statvfs(self._root)
            if space.f_bavail * space.f_frsize < _MIN_FREE_BYTES:
                detail = "the disk is full"
            elif not os.access(self._root, os.W_OK | os.X_OK):
                detail = "the folder cannot be written"
            else:
                with self._lock:
                    self._db.execute("SELECT 1 FROM blobs LIMIT 1").fetchone()
        except (OSError, sqlite3.Error) as error:
            detail = f"the store cannot be read: {type(error).__name__}"
        return Check(name="blobs", ready=detail is None, detail=detail)

    def put(
        self,
        tenant: str,
        data: bytes,
        media_type: str,
        width: int,
        height: int,
        *,
        owner: str | None = None,
    ) -> StoredImage:
        """Keeps `data`; the same bytes of the same tenant are kept once.

        With an owner the bytes are on the disk before this returns.
        """
        if not _TENANT.fullmatch(tenant):
            raise ValueError("not a tenant's name")
        name = self._name_of(tenant, data)
        with self._transaction() as db:
            self._write(self._path(tenant, name), data, durable=owner is not None)
            db.execute(
                "INSERT INTO blobs VALUES (?, ?, ?) "
                "ON CONFLICT DO UPDATE SET touched_s = excluded.touched_s",
                (tenant, name, time.time()),
            )
            if owner is not None:
                db.execute("INSERT OR IGNORE INTO owners VALUES (?, ?, ?)", (tenant, name, owner))
        return StoredImage(PREFIX + name, media_type, width, height, len(data))

    def find(self, tenant: str, ref: str) -> StoredImage:
        """What `ref` names, and a sign that it is still needed.

        Raises:
            BlobMissing: there is none, for this tenant.
        """
        name = self._name_in(tenant, ref)
        path = self._path(tenant, name)
        try:
            with path.open("rb") as file:
                header = read_header(file.read(65_536))
                size = os.fstat(file.fileno()).st_size
        except (OSError, NotAnImage, BrokenHeader):
            raise BlobMissing from None
        self._touch(tenant, name)
        return StoredImage(ref, header.media_type, header.width, header.height, size)

    def retain(self, tenant: str, ref: str, owner: str) -> None:
        """Makes `owner` one of those who need `ref`.

        Raises:
            BlobMissing: there is none, for this tenant.
        """
        name = self._name_in(tenant, ref)
        path = self._path(tenant, name)
        with self._transaction() as db:
            try:
                with path.open("rb") as file:
                    os.fsync(file.fileno())
            except OSError:
                raise BlobMissing from None
            db.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?, ?)", (tenant, name, time.time()))
            db.execute("INSERT OR IGNORE INTO owners VALUES (?, ?, ?)", (tenant, name, owner))

    def release(self, tenant: str, owner: str) -> int:
        """Takes `owner` away from all its blobs; those nobody else needs go with the sweep."""
        with self._transaction() as db:
            return db.execute(
                "DELETE FROM owners WHERE tenant = ? AND owner = ?", (tenant, owner)
            ).rowcount

    def discard(self, tenant: str, owner: str, *, keep: Collection[str] = ()) -> int:
        """Takes `owner` away from all its blobs but those in `keep`, and deletes at once what
        nobody needs then; returns how many were deleted.

        For what must be gone when somebody asks. `release` leaves it to the sweep, so that an
        upload which was just made again is not lost.
        """
        kept = {ref.removeprefix(PREFIX) for ref in keep}
        deleted = 0
        with self._transaction() as db:
            rows = db.execute(
                "SELECT name FROM owners WHERE tenant = ? AND owner = ?", (tenant, owner)
            ).fetchall()
            for (name,) in rows:
                if name in kept:
                    continue
                db.execute(
                    "DELETE FROM owners WHERE tenant = ? AND name = ? AND owner = ?",
                    (tenant, name, owner),
                )
                still = db.execute(
                    "SELECT 1 FROM owners WHERE tenant = ? AND name = ?", (tenant, name)
                ).fetchone()
                if still is None:
                    self._path(tenant, name).unlink(missing_ok=True)
                    db.execute("DELETE FROM blobs WHERE tenant = ? AND name = ?", (tenant, name))
                    deleted += 1
        return deleted

    def sweep(self, unowned_ttl_s: float) -> int:
        """Deletes blobs without owner that were not used for `unowned_ttl_s`; returns how many."""
        cutoff = time.time() - unowned_ttl_s
        removed = 0
        while batch := self._sweep_batch(cutoff):
            removed += batch
        return removed + self._sweep_strays(cutoff)

    def _sweep_batch(self, cutoff: float) -> int:
        # Files go inside the transaction: a `put` of the same bytes waits and then writes anew.
        with self._transaction() as db:
            rows = db.execute(
                "SELECT tenant, name FROM blobs b WHERE touched_s < ? AND NOT EXISTS "
                "(SELECT 1 FROM owners o WHERE o.tenant = b.tenant AND o.name = b.name) LIMIT ?",
                (cutoff, _SWEEP_BATCH),
            ).fetchall()
            for tenant, name in rows:
                self._path(tenant, name).unlink(missing_ok=True)
            db.executemany("DELETE FROM blobs WHERE tenant = ? AND name = ?", rows)
        return len(rows)

    def _sweep_strays(self, cutoff: float) -> int:
        """Files that a crash left without a row."""
        removed = 0
        for path in self._root.glob("*/*/*"):
            tenant = path.parent.parent.name
            with self._transaction() as db:
                known = db.execute(
                    "SELECT 1 FROM blobs WHERE tenant = ? AND name = ?", (tenant, path.name)
                ).fetchone()
                with suppress(FileNotFoundError):  # a writer's partial file, renamed meanwhile
                    if known is None and path.stat().st_mtime < cutoff:
                        path.unlink()
                        removed += 1
        return removed

    def _touch(self, tenant: str, name: str) -> None:
        now = time.time()
        with self._lock:
            row = self._db.execute(
                "SELECT touched_s FROM blobs WHERE tenant = ? AND name = ?", (tenant, name)
            ).fetchone()
            if row is None or row[0] < now - _TOUCH_EVERY_S:
                self._db.execute(
                    "INSERT INTO blobs VALUES (?, ?, ?) "
                    "ON CONFLICT DO UPDATE SET touched_s = excluded.touched_s",
                    (tenant, name, now),
                )

    @staticmethod
    def _write(path: Path, data: bytes, *, durable: bool) -> None:
        """Whole or not at all; a file that a power cut damaged is written anew."""
        try:
            if path.read_bytes() == data:
                if durable:
                    _sync(path)
                return
        except OSError:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        try:
            with partial.open("xb") as file:
                file.write(data)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        if durable:
            _sync(path.parent)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
