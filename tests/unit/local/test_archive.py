import io
import sqlite3
import stat
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from colloquy.local import archive
from colloquy.local.archive import ArchiveFailed
from colloquy.local.layout import Layout
from colloquy.media.blobs import BlobStore
from colloquy.media.failures import BlobMissing
from colloquy.profile import Profile
from colloquy.servicekit.keys import KeyStore


def profile(state: Path, **more: Any) -> Profile:
    return Profile.model_validate(
        {
            "name": "test",
            "about": "Nothing.",
            "state": str(state),
            "engines": {"one": {"runtime": "vllm", "model": "base@1"}},
            "tasks": {"fragment": {"engine": "one", "protocol": "f2rvlm"}},
            **more,
        }
    )


def png(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (4, 4), shade).save(stream, "PNG")
    return stream.getvalue()


class State:
    """A stack's state with one key, two pictures (one of them needed) and a ledger of one row."""

    def __init__(self, folder: Path) -> None:
        self.profile = profile(folder)
        layout = Layout(self.profile)
        layout.prepare()
        self.secret = layout.blob_key().encode()
        with closing(KeyStore(self.profile.keys_file)) as keys:
            self.key = keys.create("home", ("search",))
        with closing(BlobStore(self.profile.blobs_dir, self.secret)) as blobs:
            self.needed = blobs.put("home", png(1), "image/png", 4, 4, owner="d-1").ref
            self.other = blobs.put("home", png(2), "image/png", 4, 4).ref
        self.ledger = folder / "ledger.sqlite"
        with closing(sqlite3.connect(self.ledger)) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("CREATE TABLE dialogues (id TEXT)")
            db.execute("INSERT INTO dialogues VALUES ('d-1')")
            db.commit()


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "var")


def test_what_was_backed_up_is_there_after_a_restore(state: State, tmp_path: Path) -> None:
    counts = archive.backup(state.profile, tmp_path / "b.tar")
    assert (counts.databases, counts.pictures) == (3, 2)
    fresh = profile(tmp_path / "fresh")
    assert archive.restore(fresh, tmp_path / "b.tar").pictures == 2

    with closing(sqlite3.connect(tmp_path / "fresh/ledger.sqlite")) as db:
        assert db.execute("SELECT id FROM dialogues").fetchall() == [("d-1",)]
    with closing(KeyStore(fresh.keys_file)) as keys:
        assert [record.tenant for record in keys.list()] == ["home"]
    assert Layout(fresh).blob_key().encode() == state.secret
    with closing(BlobStore(fresh.blobs_dir, state.secret)) as blobs:
        assert blobs.get("home", state.needed).data == png(1)
        blobs.sweep(-1)
        assert blobs.get("home", state.needed).data == png(1)
        with pytest.raises(BlobMissing):
            blobs.get("home", state.other)


def test_a_backup_is_this_users_alone(state: State, tmp_path: Path) -> None:
    archive.backup(state.profile, tmp_path / "b.tar")
    assert stat.S_IMODE((tmp_path / "b.tar").stat().st_mode) == 0o600


def test_a_backup_takes_what_is_committed_while_a_writer_is_at_it(
    state: State, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(state.ledger, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO dialogues VALUES ('half')")
        archive.backup(state.profile, tmp_path / "b.tar")
        writer.execute("COMMIT")
    archive.restore(profile(tmp_path / "fresh"), tmp_path / "b.tar")
    with closing(sqlite3.connect(tmp_path / "fresh/ledger.sqlite")) as db:
        assert db.execute("SELECT id FROM dialogues").fetchall() == [("d-1",)]


def test_a_file_that_is_there_is_not_written_over(state: State, tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_text("mine")
    with pytest.raises(ArchiveFailed, match="is there already"):
        archive.backup(state.profile, tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_text() == "mine"


def test_a_needed_picture_that_is_lost_ends_the_backup_and_leaves_no_file(
    state: State, tmp_path: Path
) -> None:
    name = state.needed.removeprefix("blob:")
    (state.profile.blobs_dir / "home" / name[:2] / name).unlink()
    with pytest.raises(ArchiveFailed, match="a picture is missing"):
        archive.backup(state.profile, tmp_path / "b.tar")
    assert [path.name for path in tmp_path.iterdir()] == ["var"]


def test_a_picture_that_nobody_needs_may_be_gone(state: State, tmp_path: Path) -> None:
    name = state.other.removeprefix("blob:")
    (state.profile.blobs_dir / "home" / name[:2] / name).unlink()
    assert archive.backup(state.profile, tmp_path / "b.tar").pictures == 1


def test_nothing_is_no_backup(tmp_path: Path) -> None:
    with pytest.raises(ArchiveFailed, match="nothing to copy"):
        archive.backup(profile(tmp_path / "var"), tmp_path / "b.tar")


def test_a_restore_wants_an_empty_state(state: State, tmp_path: Path) -> None:
    archive.backup(state.profile, tmp_path / "b.tar")
    with pytest.raises(ArchiveFailed, match="is not empty"):
        archive.restore(state.profile, tmp_path / "b.tar")


def test_logs_and_sockets_do_not_make_a_state(state: State, tmp_path: Path) -> None:
    archive.backup(state.profile, tmp_path / "b.tar")
    fresh = tmp_path / "fresh"
    (fresh / "logs").mkdir(parents=True)
    (fresh / "logs/gateway.log").write_text("x")
    (fresh / "vectors").mkdir()
    (fresh / "supervisor.lock").touch()
    archive.restore(profile(fresh), tmp_path / "b.tar")
    assert (fresh / "ledger.sqlite").is_file()


@pytest.mark.parametrize("at", [0.2, 0.5, 0.9])
def test_a_damaged_archive_restores_nothing(state: State, tmp_path: Path, at: float) -> None:
    archive.backup(state.profile, tmp_path / "b.tar")
    data = bytearray((tmp_path / "b.tar").read_bytes())
    place = int(len(data) * at)
    data[place] ^= 0xFF
    (tmp_path / "b.tar").write_bytes(data)
    try:
        archive.restore(profile(tmp_path / "fresh"), tmp_path / "b.tar")
    except ArchiveFailed:
        assert not list((tmp_path / "fresh").iterdir())
    else:  # what fills a block up holds nothing
        with tarfile.open(tmp_path / "b.tar") as tar:
            assert all(
                not m.offset_data <= place < m.offset_data + m.size for m in tar.getmembers()
            )


def test_a_cut_archive_restores_nothing(state: State, tmp_path: Path) -> None:
    archive.backup(state.profile, tmp_path / "b.tar")
    data = (tmp_path / "b.tar").read_bytes()
    for size in (0, 100, len(data) // 3, len(data) // 2):
        (tmp_path / "b.tar").write_bytes(data[:size])
        with pytest.raises(ArchiveFailed):
            archive.restore(profile(tmp_path / "fresh"), tmp_path / "b.tar")
    assert not list((tmp_path / "fresh").iterdir())


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "blobs/../../evil", "evil", "keys.db/x"])
def test_a_name_that_is_none_of_ours_is_refused(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "b.tar", "w") as tar:
        for member, content in (("manifest.json", b'{"format": 1}'), (name, b"x")):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    with pytest.raises(ArchiveFailed, match="none of our backups"):
        archive.restore(profile(tmp_path / "fresh"), tmp_path / "b.tar")
    assert not list(tmp_path.rglob("evil"))


def test_a_link_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "b.tar", "w") as tar:
        info = tarfile.TarInfo("ledger.sqlite")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(ArchiveFailed, match="something else than files"):
        archive.restore(profile(tmp_path / "fresh"), tmp_path / "b.tar")


def test_a_backup_of_another_format_is_named(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "b.tar", "w") as tar:
        info = tarfile.TarInfo("manifest.json")
        info.size = len(b'{"format": 9}')
        tar.addfile(info, io.BytesIO(b'{"format": 9}'))
    with pytest.raises(ArchiveFailed, match="has format 9"):
        archive.restore(profile(tmp_path / "fresh"), tmp_path / "b.tar")


def test_a_ledger_in_postgresql_is_left_to_its_own_tools(tmp_path: Path) -> None:
    elsewhere = profile(
        tmp_path / "var",
        indexer={"ledger": "postgresql://me@db/colloquy"},
        retriever={},
        spaces={"clip": {"kind": "open_clip", "model": "clip@1"}},
    )
    with pytest.raises(ArchiveFailed, match="pg_dump"):
        archive.backup(elsewhere, tmp_path / "b.tar")


def test_a_ledger_elsewhere_is_copied_and_put_back_there(state: State, tmp_path: Path) -> None:
    more = {
        "retriever": {},
        "spaces": {"clip": {"kind": "open_clip", "model": "clip@1"}},
    }
    aside = tmp_path / "aside.sqlite"
    state.ledger.rename(aside)
    there = profile(tmp_path / "var", indexer={"ledger": f"sqlite:///{aside}"}, **more)
    assert archive.backup(there, tmp_path / "b.tar").databases == 3
    back = tmp_path / "back/ledger.sqlite"
    fresh = profile(tmp_path / "fresh", indexer={"ledger": f"sqlite:///{back}"}, **more)
    archive.restore(fresh, tmp_path / "b.tar")
    assert back.is_file()
