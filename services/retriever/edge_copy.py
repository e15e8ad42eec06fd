"""Copying a shard, whose files are large on paper and mostly holes; bringing one to the disk."""

import os
from pathlib import Path

_STEP_BYTES = 2**24
_TRIES = 3


def copy_tree(source: Path, target: Path) -> None:
    """A copy with the holes left out. The log prepares files in the background and renames them,
    so that one may be gone between the listing and the copying: then all is copied again.

    Raises:
        OSError: it cannot be copied.
    """
    for attempt in range(_TRIES):
        try:
            return _copy_folder(source, target)
        except FileNotFoundError:
            if attempt == _TRIES - 1 or not source.exists():
                raise
    return None


def sync_tree(folder: Path) -> None:
    """Everything in `folder` reaches the disk."""
    for place, _, names in os.walk(folder):
        for path in (place, *(os.path.join(place, name) for name in names)):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def sync_log(shard: Path) -> None:
    """The log of `shard` reaches the disk, and with it every write that was done.

    Another process has the log in its memory; the kernel knows what it changed there. A shard that
    is gone was replaced by one that has the writes.
    """
    for _ in range(_TRIES):
        try:
            return sync_tree(shard / "wal")
        except FileNotFoundError:  # a file was renamed meanwhile
            continue
    return None


def _copy_folder(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.is_dir():
            _copy_folder(path, target / path.name)
        else:
            _copy_file(path, target / path.name)


def _copy_file(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as written:
        size = os.fstat(read.fileno()).st_size
        os.truncate(written.fileno(), size)
        at = 0
        while at < size:
            try:
                at = os.lseek(read.fileno(), at, os.SEEK_DATA)
            except OSError:  # nothing but a hole is left
                return
            end = os.lseek(read.fileno(), at, os.SEEK_HOLE)
            while at < end:
                at += _copy_range(read.fileno(), written.fileno(), at, min(_STEP_BYTES, end - at))


def _copy_range(read: int, written: int, at: int, count: int) -> int:
    data = os.pread(read, count, at)
    if not data:
        raise OSError("a file became shorter while it was copied")
    return os.pwrite(written, data, at)
