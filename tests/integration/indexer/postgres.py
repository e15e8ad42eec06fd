"""A real PostgreSQL server, for as long as tests need one."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

# The server refuses to run as root.
_OTHER_USERS = ("postgres", "nobody")
_SETTINGS = ("fsync=off", "full_page_writes=off", "listen_addresses=", "max_connections=60")


@dataclass
class Postgres:
    """A server on a Unix socket.

    Attributes:
        user: its superuser; nobody else can reach the socket.
    """

    folder: Path
    user: str
    made: int = 0

    def new_database(self) -> str:
        """Makes an empty database; returns its URL."""
        self.made += 1
        name = f"ledger_{self.made}"
        with psycopg.connect(
            host=str(self.folder), user=self.user, dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql://{self.user}@/{name}?host={self.folder}"


@contextmanager
def run_postgres() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="cqpg"))  # short: a socket's path is
    account = _account()
    os.chown(folder, account.pw_uid, account.pw_gid)
    data = folder / "data"
    try:
        _run(account, "initdb", "-D", data, "-U", account.pw_name, "-A", "trust", "-N")
        options = " ".join(f"-c {setting}" for setting in _SETTINGS)
        start = ["-D", data, "-o", f"-k {folder} {options}", "-l", folder / "log", "-w", "start"]
        _run(account, "pg_ctl", *start)
        try:
            yield Postgres(folder, account.pw_name)
        finally:
            _run(account, "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


def _account() -> pwd.struct_passwd:
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    known = {account.pw_name: account for account in pwd.getpwall()}
    return next(known[name] for name in _OTHER_USERS if name in known)


def _run(account: pwd.struct_passwd, program: str, *arguments: str | Path) -> None:
    found = shutil.which(program) or _packaged(program)
    result = subprocess.run(
        [found, *map(str, arguments)],
        cwd="/",
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, f"{program}: {result.stderr}"


def _packaged(program: str) -> str:
    """Where Debian keeps the programs of a server."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    assert found, f"there is no {program}: install PostgreSQL"
    return str(found[-1])
