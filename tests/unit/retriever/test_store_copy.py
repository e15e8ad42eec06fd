"""Copying a shard's files."""

import os
from pathlib import Path

import pytest

from services.retriever.edge_copy import copy_tree, sync_log, sync_tree

HOLE = 2**25


def test_a_copy_has_every_byte_and_keeps_the_holes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "empty").write_bytes(b"")
    (source / "deep" / "plain").write_bytes(os.urandom(100_000))
    with (source / "deep" / "er" / "sparse").open("wb") as file:
        for at in (0, HOLE, 2 * HOLE):
            file.seek(at)
            file.write(b"data")
        file.truncate(3 * HOLE)

    copy_tree(source, tmp_path / "target")

    for path in (p for p in source.rglob("*") if p.is_file()):
        copied = tmp_path / "target" / path.relative_to(source)
        assert copied.read_bytes() == path.read_bytes()
        assert copied.stat().st_blocks <= path.stat().st_blocks + 64


def test_what_is_not_there_cannot_be_copied(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        copy_tree(tmp_path / "source", tmp_path / "target")


def test_a_tree_is_brought_to_the_disk(tmp_path: Path) -> None:
    (tmp_path / "wal").mkdir()
    (tmp_path / "wal" / "open-1").write_bytes(b"x")

    sync_tree(tmp_path)
    sync_log(tmp_path)


def test_the_log_of_a_shard_that_was_replaced_need_not_be(tmp_path: Path) -> None:
    sync_log(tmp_path / "gone")
