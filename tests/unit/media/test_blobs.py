"""The blob store: by tenant, once, whole or not at all."""

import io
import os
import sqlite3
import threading
from pathlib import Path

import pytest
from PIL import Image

from colloquy.media.blobs import BlobReader, BlobStore, StoredImage
from colloquy.media.failures import BlobMissing

KEY = b"k" * 32


def png(shade: int = 0, size: tuple[int, int] = (4, 3)) -> bytes:
    out = io.BytesIO()
    Image.new("L", size, shade).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs", KEY)


def put(store: BlobStore, tenant: str = "acme", shade: int = 0, **options: str) -> StoredImage:
    return store.put(tenant, png(shade), "image/png", 4, 3, **options)


def files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "blobs").glob("*/*/*") if path.is_file()]


def age(store: BlobStore, tmp_path: Path, seconds: float) -> None:
    with sqlite3.connect(tmp_path / "blobs" / "blobs.sqlite") as db:
        db.execute("UPDATE blobs SET touched_s = touched_s - ?", (seconds,))
    db.close()


def test_a_blob_is_read_back_by_its_reference(store: BlobStore, tmp_path: Path) -> None:
    stored = put(store)

    blob = BlobReader(tmp_path / "blobs", KEY).get("acme", stored.ref)

    assert blob.data == png()
    assert (blob.media_type, blob.width, blob.height) == ("image/png", 4, 3)
    assert store.find("acme", stored.ref) == stored


def test_equal_bytes_of_a_tenant_are_kept_once(store: BlobStore, tmp_path: Path) -> None:
    assert put(store) == put(store)
    assert len(files(tmp_path)) == 1


def test_two_tenants_share_neither_references_nor_files(store: BlobStore, tmp_path: Path) -> None:
    mine, theirs = put(store, "acme"), put(store, "rival")

    assert mine.ref != theirs.ref
    assert len(files(tmp_path)) == 2


def test_a_foreign_reference_is_missing_exactly_as_an_unknown_one(store: BlobStore) -> None:
    theirs = put(store, "rival")

    for ask in (store.get, store.find, lambda t, r: store.retain(t, r, "o")):
        with pytest.raises(BlobMissing) as foreign:
            ask("acme", theirs.ref)
        with pytest.raises(BlobMissing) as unknown:
            ask("acme", "blob:" + "0" * 64)
        assert (foreign.value.detail, foreign.value.facts, foreign.value.faults) == (
            unknown.value.detail,
            unknown.value.facts,
            unknown.value.faults,
        )


def test_another_key_makes_another_reference(store: BlobStore, tmp_path: Path) -> None:
    other = BlobStore(tmp_path / "other", b"x" * 32)

    assert put(store).ref != put(other).ref


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "blob:",
        "blob:..",
        "blob:../../blobs.sqlite",
        "blob:" + "0" * 63,
        "blob:" + "G" * 64,
        "blob:" + "0" * 64 + "\n",
        "/etc/passwd",
        "blob:" + "٠" * 64,
    ],
)
def test_what_is_no_reference_is_missing(store: BlobStore, ref: str) -> None:
    with pytest.raises(BlobMissing):
        store.get("acme", ref)


@pytest.mark.parametrize("tenant", ["", "..", "Acme", "a/b", "acme\n"])
def test_what_is_no_tenant_has_nothing_and_gets_nothing(store: BlobStore, tenant: str) -> None:
    stored = put(store)

    with pytest.raises(BlobMissing):
        store.get(tenant, stored.ref)
    with pytest.raises(ValueError, match="tenant"):
        put(store, tenant)


def test_a_damaged_file_is_missing_and_is_written_anew(store: BlobStore, tmp_path: Path) -> None:
    stored = put(store)
    (file,) = files(tmp_path)
    file.write_bytes(png()[:20])

    with pytest.raises(BlobMissing):
        store.get("acme", stored.ref)
    put(store)

    assert store.get("acme", stored.ref).data == png()


def test_files_are_their_owners_alone_and_nothing_half_written_stays(
    store: BlobStore, tmp_path: Path
) -> None:
    put(store)

    assert (tmp_path / "blobs").stat().st_mode & 0o077 == 0
    assert all("." not in path.name for path in files(tmp_path))


def test_a_full_disk_leaves_no_reference(store: BlobStore, tmp_path: Path) -> None:
    (tmp_path / "blobs" / "acme").write_text("in the way of the folder")

    with pytest.raises(OSError, match="acme"):
        put(store)

    assert store.sweep(0) == 0


# --- owners and the sweep ---------------------------------------------------------------------


def test_the_sweep_takes_what_nobody_owns_and_nobody_used(store: BlobStore, tmp_path: Path) -> None:
    old = put(store, shade=1)
    age(store, tmp_path, 100)
    new = put(store, shade=2)

    assert store.sweep(60) == 1

    assert store.get("acme", new.ref)
    with pytest.raises(BlobMissing):
        store.get("acme", old.ref)


def test_an_owner_keeps_a_blob_and_the_last_release_frees_it(
    store: BlobStore, tmp_path: Path
) -> None:
    stored = put(store, owner="dialogue-1")
    store.retain("acme", stored.ref, "dialogue-2")
    store.retain("acme", stored.ref, "dialogue-2")
    age(store, tmp_path, 100)

    assert store.release("acme", "dialogue-1") == 1
    assert store.sweep(60) == 0
    assert store.release("acme", "dialogue-2") == 1
    assert store.sweep(60) == 1
    assert files(tmp_path) == []


def test_one_tenant_cannot_release_what_another_owns(store: BlobStore, tmp_path: Path) -> None:
    put(store, "acme", owner="d")
    age(store, tmp_path, 100)

    assert store.release("rival", "d") == 0
    assert store.sweep(60) == 0


def test_a_reference_in_use_is_not_swept(store: BlobStore, tmp_path: Path) -> None:
    stored = put(store)
    age(store, tmp_path, 10_000)
    store.find("acme", stored.ref)

    assert store.sweep(60) == 0


def test_what_is_discarded_goes_at_once_unless_somebody_else_needs_it(
    store: BlobStore, tmp_path: Path
) -> None:
    mine, shared = put(store, shade=1, owner="d"), put(store, shade=2, owner="d")
    store.retain("acme", shared.ref, "other")
    elsewhere = put(store, "rival", shade=1, owner="d")

    assert store.discard("acme", "d") == 1
    assert store.discard("acme", "d") == 0

    with pytest.raises(BlobMissing):
        store.get("acme", mine.ref)
    assert store.get("acme", shared.ref)
    assert store.get("rival", elsewhere.ref)
    assert len(files(tmp_path)) == 2


def test_an_owner_may_keep_some_of_what_it_discards(store: BlobStore) -> None:
    kept, gone = put(store, shade=1, owner="d"), put(store, shade=2, owner="d")

    assert store.discard("acme", "d", keep=[kept.ref]) == 1

    assert store.get("acme", kept.ref)
    assert store.release("acme", "d") == 1
    with pytest.raises(BlobMissing):
        store.get("acme", gone.ref)


def test_the_sweep_finds_files_that_a_crash_left(store: BlobStore, tmp_path: Path) -> None:
    folder = tmp_path / "blobs" / "acme" / "ab"
    folder.mkdir(parents=True)
    for name, seconds in (("old", 1_000), ("new", 0)):
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (1_700_000_000, folder.stat().st_mtime - seconds))

    assert store.sweep(500) == 1
    assert [path.name for path in files(tmp_path)] == ["new"]


def test_many_processes_may_put_and_sweep_at_once(store: BlobStore, tmp_path: Path) -> None:
    stores = [BlobStore(tmp_path / "blobs", KEY) for _ in range(4)]
    errors: list[Exception] = []

    def work(mine: BlobStore) -> None:
        try:
            for shade in range(25):
                stored = put(mine, shade=shade)
                mine.sweep(3_600)
                assert mine.get("acme", stored.ref).data == png(shade)
        except (OSError, sqlite3.Error, BlobMissing) as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=[one]) for one in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert len(files(tmp_path)) == 25


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        BlobReader(tmp_path, b"short")


def test_a_store_says_whether_it_works(store: BlobStore) -> None:
    assert store.check().ready

    store.close()

    assert not store.check().ready
