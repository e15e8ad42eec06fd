"""What stood earlier in a file, remembered on disk, so that memory stays the same."""

import hashlib
import sqlite3
from types import TracebackType
from typing import Self

from training.data.check.report import Identity

_TABLE = "create table seen (name blob primary key, line integer, content text) without rowid"


class Seen:
    """Names, each with the line where it stood first."""

    def __enter__(self) -> Self:
        # An empty name is a database in a temporary file, which goes with the connection.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("pragma journal_mode = off")
        self._database.execute(_TABLE)
        self._database.execute("begin")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close()

    def clash(self, identity: Identity, line: int) -> str | None:
        """Remembers a name; says what is wrong if it stood before."""
        told = f"{identity.space}\0{identity.name}".encode("utf-8", "surrogatepass")
        name = hashlib.blake2b(told, digest_size=16).digest()
        row = self._database.execute(
            "select line, content from seen where name = ?", (name,)
        ).fetchone()
        if row is None:
            self._database.execute(
                "insert into seen values (?, ?, ?)", (name, line, identity.content)
            )
            return None
        first, content = row
        if not identity.again:
            return f"the same {identity.space} stands in line {first}"
        if content != identity.content:
            return f"names another {identity.space} than in line {first}"
        return None
