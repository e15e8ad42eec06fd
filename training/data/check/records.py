"""Cuts a file into records without reading it whole: JSON Lines, a JSON list, or one object."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from training.data.check.problems import NotReadable, Problem
from training.data.check.raw import MAX_RECORD_BYTES, Raw, too_large
from training.data.check.splitter import Splitter

_CHUNK_BYTES = 2**20
_HEAD_BYTES = 4_096
_BOM = b"\xef\xbb\xbf"
_LINES = frozenset({".jsonl", ".ndjson"})
_FOREIGN = (
    (b"\x1f\x8b", "is compressed with gzip; unpack it first"),
    (b"BZh", "is compressed with bzip2; unpack it first"),
    (b"\xfd7zXZ", "is compressed with xz; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd; unpack it first"),
    (b"PK\x03\x04", "is a zip archive; unpack it first"),
    (b"PAR1", "is a Parquet file, not JSON"),
    (b"\xff\xfe", "is UTF-16, not UTF-8"),
    (b"\xfe\xff", "is UTF-16, not UTF-8"),
)
_WHOLE_LINE = re.compile(rb"\{.*\}\s*", re.DOTALL)


def records(path: Path, most_bytes: int = MAX_RECORD_BYTES) -> Iterator[Raw | Problem]:
    """Yields each record of a file, or what is wrong where one should be.

    Args:
        most_bytes: larger records are passed over, and told.

    Raises:
        NotReadable: it is no file, or may not be read.
    """
    try:
        with _opened(path) as file:
            yield from _records(file, path.suffix.lower() in _LINES, most_bytes)
    except OSError as error:
        raise NotReadable(error.strerror or "cannot be read") from error


def _opened(path: Path) -> BinaryIO:
    kind = os.stat(path).st_mode
    if stat.S_ISDIR(kind):
        raise NotReadable("is a folder; name a file in it")
    if not stat.S_ISREG(kind):
        raise NotReadable("is not a regular file")
    return path.open("rb")


def _records(file: BinaryIO, named_lines: bool, most_bytes: int) -> Iterator[Raw | Problem]:
    head = file.read(_HEAD_BYTES)
    if (why := _foreign(head)) is not None:
        yield Problem("file", 1, why)
        return
    begin = 0
    if head.startswith(_BOM):
        yield Problem("text", 1, "begins with a byte order mark, which JSON does not allow")
        begin = len(_BOM)
    file.seek(begin)
    first = head[begin:].lstrip()[:1]
    if first == b"[":
        if named_lines:
            yield Problem("JSON", 1, "is one JSON list under a name for JSON Lines")
        yield from _list(file, most_bytes)
    elif named_lines or (first == b"{" and _begins_with_a_whole_line(file, begin, most_bytes)):
        yield from _lines(file, most_bytes)
    elif first == b"{":
        yield from _one(file, most_bytes)
    else:
        yield Problem("JSON", 1, "is no JSON: it begins with neither `[` nor `{`")


def _foreign(head: bytes) -> str | None:
    if not head:
        return "is empty"
    for begin, why in _FOREIGN:
        if head.startswith(begin):
            return why
    return "is binary, not JSON text" if b"\0" in head else None


def _begins_with_a_whole_line(file: BinaryIO, begin: int, most_bytes: int) -> bool:
    """Whether the first line looks like an object by itself: JSON Lines under another name."""
    line = b""
    while not line.strip():
        line = file.readline(most_bytes)
        if not line:
            break
    file.seek(begin)
    return _WHOLE_LINE.fullmatch(line.strip()) is not None


def _lines(file: BinaryIO, most_bytes: int) -> Iterator[Raw | Problem]:
    number = 0
    while line := file.readline(most_bytes + 1):
        number += 1
        if len(line) > most_bytes:
            yield Problem("JSON", number, too_large(most_bytes))
            while not line.endswith(b"\n") and line:
                line = file.readline(_CHUNK_BYTES)
        elif line.strip():
            yield Raw(number, None, line)


def _list(file: BinaryIO, most_bytes: int) -> Iterator[Raw | Problem]:
    splitter = Splitter(most_bytes)
    while not splitter.done and (chunk := file.read(_CHUNK_BYTES)):
        yield from splitter.feed(chunk)
    yield from splitter.end()


def _one(file: BinaryIO, most_bytes: int) -> Iterator[Raw | Problem]:
    text = file.read(most_bytes + 1)
    if len(text) > most_bytes:
        yield Problem("JSON", 1, too_large(most_bytes))
    else:
        yield Raw(1, None, text)
