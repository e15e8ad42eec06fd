"""Everything that a stack cannot make again, in one file: ledger, pictures, keys and the blob key.

Vectors are not in it: `colloquy reindex` makes them from the rest. The copy is one moment's, also
while the stack runs: databases are copied by SQLite's own backup, and a picture is never deleted
within hours of its last use.
"""

import hashlib
import io
import json
import os
import re
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from colloquy.profile import Profile

FORMAT = 1
MANIFEST, SUMS = "manifest.json", "SHA256SUMS"
LEDGER, KEYS, BLOBS, BLOB_KEY = "ledger.sqlite", "keys.db", "blobs/blobs.sqlite", "secrets/blob-key"
_PICTURE = re.compile(r"blobs/[a-z0-9][a-z0-9_-]{0,62}/[0-9a-f]{2}/[0-9a-f]{64}")
_DATABASES = (LEDGER, KEYS, BLOBS)
# What a stack leaves behind that says nothing about its content.
_IDLE = frozenset({"logs", "run", "supervisor.lock", "registry", "spool"})
_CHUNK_BYTES = 2**20
_MAX_SMALL_BYTES = 2**30  # sums of some ten million pictures


class ArchiveFailed(Exception):
    """A backup that cannot be made or used; the message is one line."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What an archive holds."""

    databases: int
    pictures: int
    bytes: int


class Places:
    """Where a profile keeps what is copied.

    Raises:
        ArchiveFailed: its ledger is in PostgreSQL.
    """

    def __init__(self, profile: Profile) -> None:
        self.state = profile.state_dir.resolve()
        self.profile = profile.name
        ledger = (profile.indexer or {}).get("ledger")
        kind, _, path = str(ledger).partition(":///")
        if ledger is not None and kind.partition("+")[0] != "sqlite":
            raise ArchiveFailed(
                "the ledger is in PostgreSQL: copy it with pg_dump, and the folder of pictures "
                "with your own tools; this command copies SQLite ledgers"
            )
        self.ledger = self.state / "ledger.sqlite" if ledger is None else Path(path).resolve()
        self.blobs = profile.blobs_dir.resolve()
        self.keys = profile.keys_file.resolve()

    def of(self, name: str) -> Path:
        """Where the member `name` of an archive belongs."""
        if name == LEDGER:
            return self.ledger
        if name == KEYS:
            return self.keys
        if name.startswith("blobs/"):
            return self.blobs / name.removeprefix("blobs/")
        return self.state / name

    def occupied(self) -> list[str]:
        """What lies where a restored state would."""
        found = [
            entry.name
            for entry in (self.state.iterdir() if self.state.is_dir() else ())
            if entry.name not in _IDLE
            and not (entry.is_dir() and not any(p.is_file() for p in entry.rglob("*")))
        ]
        beside = [self.ledger, self.ledger.with_name(self.ledger.name + "-wal")]
        return sorted({*found, *(path.name for path in beside if path.exists())})


# --- backup -----------------------------------------------------------------------------------


def backup(profile: Profile, target: Path) -> Counts:
    """Writes an archive of the profile's state; `target` is there only when it is whole.

    Raises:
        ArchiveFailed: there is nothing, or it cannot be copied. OSError: it cannot be written.
    """
    places = Places(profile)
    if target.exists():
        raise ArchiveFailed(f"{target} is there already")
    part = target.with_name(target.name + ".partial")
    try:
        # It holds the key of blob references and hashes of API keys: this user's alone.
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with (
            os.fdopen(descriptor, "wb") as file,
            tempfile.TemporaryDirectory(dir=target.parent, prefix=".backup-") as folder,
            tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            counts = _write(places, tar, Path(folder))
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(target)
    except sqlite3.Error as error:
        raise ArchiveFailed(f"a database cannot be copied: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return counts


def _write(places: Places, tar: tarfile.TarFile, folder: Path) -> Counts:
    copies = _copied_databases(places, folder)
    if not copies:
        raise ArchiveFailed("there is nothing to copy yet")
    about = {
        "format": FORMAT,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "profile": places.profile,
        "databases": sorted(copies),
    }
    _add_bytes(tar, MANIFEST, json.dumps(about, indent=1).encode() + b"\n")
    sums = {}
    for name, copy in copies.items():
        sums[name] = _add(tar, name, copy)
    with suppress(FileNotFoundError):
        sums[BLOB_KEY] = _add(tar, BLOB_KEY, places.of(BLOB_KEY))
    pictures = 0
    for name, is_owned in _pictures(copies.get(BLOBS)):
        try:
            sums[name] = _add(tar, name, places.of(name))
            pictures += 1
        except FileNotFoundError:
            if is_owned:
                raise ArchiveFailed("a picture is missing in the blob store") from None
    lines = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
    _add_bytes(tar, SUMS, lines.encode())
    return Counts(len(copies), pictures, tar.offset)


def _copied_databases(places: Places, folder: Path) -> dict[str, Path]:
    """Copies of the databases that there are.

    Pictures' owners are copied before and after the ledger and united: whatever was accepted or
    deleted meanwhile, no picture that the ledger's copy names is without an owner.
    """
    copies: dict[str, Path] = {}
    before = folder / "before.sqlite"
    for name, copy in (
        (BLOBS, before),
        (LEDGER, folder / "ledger.sqlite"),
        (KEYS, folder / "keys.db"),
        (BLOBS, folder / "blobs.sqlite"),
    ):
        source = places.of(name)
        if source.is_file():
            _copy_database(source, copy)
            copies[name] = copy
    if before.is_file() and BLOBS in copies and copies[BLOBS] != before:
        with closing(sqlite3.connect(copies[BLOBS], isolation_level=None)) as db:
            db.execute("ATTACH ? AS earlier", (str(before),))
            for table in ("blobs", "owners"):
                db.execute(f"INSERT OR IGNORE INTO main.{table} SELECT * FROM earlier.{table}")  # noqa: S608
    return copies


def _copy_database(source: Path, copy: Path) -> None:
    with (
        closing(sqlite3.connect(f"file:{_quoted(source)}?mode=ro", uri=True, timeout=60)) as here,
        closing(sqlite3.connect(copy)) as there,
    ):
        here.backup(there, pages=4_096)
        # One file, whatever the original's journal is.
        there.execute("PRAGMA journal_mode = DELETE")


def _quoted(path: Path) -> str:
    return path.as_uri().removeprefix("file://")


def _pictures(database: Path | None) -> Iterator[tuple[str, bool]]:
    """The name of each picture in the archive, and whether somebody needs it."""
    if database is None:
        return
    with closing(sqlite3.connect(database)) as db:
        yield from (
            (f"blobs/{tenant}/{name[:2]}/{name}", bool(owned))
            for tenant, name, owned in db.execute(
                "SELECT tenant, name, EXISTS (SELECT 1 FROM owners o WHERE o.tenant = b.tenant "
                "AND o.name = b.name) FROM blobs b ORDER BY tenant, name"
            )
        )


def _add(tar: tarfile.TarFile, name: str, path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        member = _member(name, os.fstat(file.fileno()).st_size)
        tar.addfile(member, _Hashing(file, digest))
    return digest.hexdigest()


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    tar.addfile(_member(name, len(content)), io.BytesIO(content))


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


class _Hashing:
    """A file whose bytes are hashed as they are read."""

    def __init__(self, file: IO[bytes], digest: "hashlib._Hash") -> None:
        self._file = file
        self._digest = digest

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._digest.update(data)
        return data


# --- restore ----------------------------------------------------------------------------------


def restore(profile: Profile, source: Path) -> Counts:
    """Puts an archive where the profile keeps its state, which must be empty.

    Everything is read and verified before anything is put in its place.

    Raises:
        ArchiveFailed: there is a state already, or the archive is damaged or none of ours.
        OSError: it cannot be read or written.
    """
    places = Places(profile)
    if occupied := places.occupied():
        raise ArchiveFailed(
            f"{places.state} is not empty ({', '.join(occupied[:3])}); a backup is restored into "
            "an empty state only"
        )
    places.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=places.state, prefix=".restoring-") as folder:
        try:
            with tarfile.open(source, "r:") as tar:
                names, size = _unpacked(tar, Path(folder))
        except tarfile.TarError as error:
            raise ArchiveFailed(f"{source} is no backup, or is damaged") from error
        # Databases last: a state with a ledger has its pictures.
        for name in sorted(names, key=lambda name: name in _DATABASES):
            place = places.of(name)
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            (Path(folder) / name).replace(place)
    databases = sum(name in _DATABASES for name in names)
    pictures = sum(_PICTURE.fullmatch(name) is not None for name in names)
    return Counts(databases, pictures, size)


def _unpacked(tar: tarfile.TarFile, folder: Path) -> tuple[list[str], int]:
    """Writes every member below `folder`; returns names and bytes.

    Raises:
        ArchiveFailed: a member is unknown, or its content is not what was written.
    """
    found: dict[str, str] = {}
    size = 0
    sums: dict[str, str] | None = None
    has_manifest = False
    for member in tar:
        file = tar.extractfile(member) if member.isreg() else None
        if file is None:
            raise ArchiveFailed("the archive holds something else than files")
        if member.name in (MANIFEST, SUMS):
            if member.size > _MAX_SMALL_BYTES:
                raise ArchiveFailed("the archive is damaged")
            content = file.read()
            if member.name == SUMS:
                sums = _sums(content)
            else:
                _check_manifest(content)
                has_manifest = True
            continue
        if not has_manifest or not _is_known(member.name) or member.name in found:
            raise ArchiveFailed("the file is none of our backups")
        found[member.name] = _write_out(file, folder / member.name)
        size += member.size
    if sums is None or sums != found:
        raise ArchiveFailed("the archive is damaged: its content is not what was written")
    return list(found), size


def _is_known(name: str) -> bool:
    return name in (*_DATABASES, BLOB_KEY) or _PICTURE.fullmatch(name) is not None


def _check_manifest(content: bytes) -> None:
    try:
        about = json.loads(content)
        known = about["format"]
    except (ValueError, KeyError, TypeError):
        raise ArchiveFailed("the file is none of our backups") from None
    if known != FORMAT:
        raise ArchiveFailed(f"the backup has format {known}; this Colloquy reads {FORMAT}")


def _sums(content: bytes) -> dict[str, str]:
    pairs = (line.partition("  ") for line in content.decode("utf-8", "replace").splitlines())
    return {name: digest for digest, _, name in pairs}


def _write_out(file: IO[bytes], path: Path) -> str:
    digest = hashlib.sha256()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        while data := file.read(_CHUNK_BYTES):
            digest.update(data)
            out.write(data)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()
