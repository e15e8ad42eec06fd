"""Keys: who may call, for which tenant, to do what. Only hashes of the secrets are kept."""

import hashlib
import hmac
import re
import secrets
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Literal, get_args

Scope = Literal["search", "answer", "classify", "index", "operator"]
SCOPES: frozenset[str] = frozenset(get_args(Scope))
OPERATOR: Scope = "operator"
_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_KEY = re.compile(r"cq_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_MAX_LABEL_CHARACTERS = 200
_SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY,
    secret_sha256 BLOB NOT NULL,
    tenant TEXT,
    scopes TEXT NOT NULL,
    label TEXT NOT NULL,
    created_s INTEGER NOT NULL,
    revoked_s INTEGER
) STRICT
"""


class KeyRefused(ValueError):
    """A key cannot be made or revoked; the message says why, in one line."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key without its secret. An operator's key belongs to no tenant."""

    id: str
    tenant: str | None
    scopes: frozenset[str]
    label: str
    created_s: int
    revoked_s: int | None = None


class KeyStore:
    """The keys of one stack, in one SQLite file that many processes may use at once."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = Lock()
        self._db = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute(_SCHEMA)
        path.chmod(0o600)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def create(self, tenant: str | None, scopes: Iterable[str], label: str = "") -> str:
        """Makes a key and returns it: the only time that its secret is seen.

        Raises:
            KeyRefused: the scopes, the tenant or their combination is not allowed.
        """
        wanted = frozenset(scopes)
        _check(tenant, wanted, label)
        identity, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        with self._lock:
            self._db.execute(
                "INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, NULL)",
                (identity, _hash(secret), tenant, " ".join(sorted(wanted)), label, _now_s()),
            )
        return f"cq_{identity}_{secret}"

    def find(self, key: str) -> KeyRecord | None:
        """The record of a key that is valid now."""
        match = _KEY.fullmatch(key)
        if match is None:
            return None
        with self._lock:
            row = self._db.execute("SELECT * FROM keys WHERE id = ?", (match[1],)).fetchone()
        # Compared even when there is no such key, so that both take the same time.
        same = hmac.compare_digest(row[1] if row else bytes(32), _hash(match[2]))
        record = _record(row) if row and same else None
        return record if record is not None and record.revoked_s is None else None

    def list(self) -> list[KeyRecord]:
        """Every key, revoked ones included, oldest first."""
        with self._lock:
            rows = self._db.execute("SELECT * FROM keys ORDER BY created_s, id").fetchall()
        return [_record(row) for row in rows]

    def revoke(self, identity: str) -> None:
        """Ends a key; it is refused from the next request on.

        Raises:
            KeyRefused: there is no such key, or it is revoked already.
        """
        with self._lock:
            changed = self._db.execute(
                "UPDATE keys SET revoked_s = ? WHERE id = ? AND revoked_s IS NULL",
                (_now_s(), identity),
            ).rowcount
        if not changed:
            raise KeyRefused("there is no such key that is still valid")

    def any_valid(self) -> bool:
        """Whether the stack has keys at all; without, it serves the loopback only."""
        with self._lock:
            row = self._db.execute("SELECT 1 FROM keys WHERE revoked_s IS NULL LIMIT 1").fetchone()
        return row is not None


def _check(tenant: str | None, scopes: frozenset[str], label: str) -> None:
    if not scopes or not scopes <= SCOPES:
        raise KeyRefused(f"scopes are one or more of {', '.join(sorted(SCOPES))}")
    if OPERATOR in scopes:
        if scopes != {OPERATOR}:
            raise KeyRefused("`operator` stands alone: no key is both a tenant's and an operator's")
        if tenant is not None:
            raise KeyRefused("an operator's key belongs to no tenant")
    elif tenant is None or not _TENANT.fullmatch(tenant):
        raise KeyRefused(
            "a tenant is 1 to 63 of a-z, 0-9, `_` and `-`, and begins with a letter or a digit"
        )
    if len(label) > _MAX_LABEL_CHARACTERS:
        raise KeyRefused(f"a label has at most {_MAX_LABEL_CHARACTERS} characters")


def _record(row: tuple[str, bytes, str | None, str, str, int, int | None]) -> KeyRecord:
    return KeyRecord(row[0], row[2], frozenset(row[3].split()), row[4], row[5], row[6])


def _hash(secret: str) -> bytes:
    # A plain hash is enough: the secret has 256 random bits, there is nothing to guess.
    return hashlib.sha256(secret.encode()).digest()


def _now_s() -> int:
    return int(time.time())
