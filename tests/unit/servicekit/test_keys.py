import sqlite3
from pathlib import Path

import pytest

from colloquy.servicekit.keys import KeyRefused, KeyStore


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys.sqlite")


def test_a_key_is_found_with_its_tenant_and_scopes(keys: KeyStore) -> None:
    key = keys.create("acme", ["search", "index"], "the shop")

    record = keys.find(key)

    assert record is not None
    assert (record.tenant, record.scopes, record.label) == (
        "acme",
        {"search", "index"},
        "the shop",
    )


def test_the_file_holds_no_secret(keys: KeyStore, tmp_path: Path) -> None:
    key = keys.create("acme", ["search"])
    secret = key.split("_", 2)[2]
    keys.close()

    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())

    assert secret.encode() not in kept


def test_the_file_is_its_owners_alone(keys: KeyStore, tmp_path: Path) -> None:
    assert (tmp_path / "keys.sqlite").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("change", [lambda k: k[:-1] + ("A" if k[-1] != "A" else "B"), str.upper])
def test_another_secret_opens_nothing(keys: KeyStore, change: object) -> None:
    key = keys.create("acme", ["search"])

    assert keys.find(change(key)) is None  # type: ignore[operator]


@pytest.mark.parametrize(
    "key", ["", "cq_", "cq__", "cq_000000000000_" + "A" * 43, "Bearer x", "cq_'; --_x", "ü" * 60]
)
def test_what_is_no_key_is_not_found(keys: KeyStore, key: str) -> None:
    assert keys.find(key) is None


def test_a_revoked_key_is_refused_at_once_by_every_process(keys: KeyStore, tmp_path: Path) -> None:
    other = KeyStore(tmp_path / "keys.sqlite")
    key = keys.create("acme", ["search"])
    record = other.find(key)
    assert record is not None

    keys.revoke(record.id)

    assert other.find(key) is None
    assert other.list()[0].revoked_s is not None
    assert not other.any_valid()


def test_a_key_cannot_be_revoked_twice(keys: KeyStore) -> None:
    keys.create("acme", ["search"])
    (record,) = keys.list()
    keys.revoke(record.id)

    with pytest.raises(KeyRefused):
        keys.revoke(record.id)


@pytest.mark.parametrize(
    ("tenant", "scopes"),
    [
        ("acme", []),
        ("acme", ["everything"]),
        ("acme", ["operator"]),
        ("acme", ["operator", "search"]),
        (None, ["operator", "search"]),
        (None, ["search"]),
        ("Acme", ["search"]),
        ("../etc", ["search"]),
        ("a" * 64, ["search"]),
        ("", ["search"]),
        ("acme\n", ["search"]),
    ],
)
def test_refuses_a_key_that_would_be_too_much_or_nobodys(
    keys: KeyStore, tenant: str | None, scopes: list[str]
) -> None:
    with pytest.raises(KeyRefused):
        keys.create(tenant, scopes)


def test_an_operators_key_belongs_to_no_tenant(keys: KeyStore) -> None:
    record = keys.find(keys.create(None, ["operator"]))

    assert record is not None
    assert record.tenant is None


def test_a_store_without_keys_says_so(keys: KeyStore) -> None:
    assert not keys.any_valid()

    keys.create("acme", ["search"])

    assert keys.any_valid()


def test_an_old_file_is_read_again(tmp_path: Path) -> None:
    first = KeyStore(tmp_path / "keys.sqlite")
    key = first.create("acme", ["search"])
    first.close()

    assert KeyStore(tmp_path / "keys.sqlite").find(key) is not None


def test_the_database_is_in_wal_mode(keys: KeyStore, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "keys.sqlite") as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()
