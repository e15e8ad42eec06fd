"""The items of a body that is too large to be parsed at once: found one by one, not yet read."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from colloquy.servicekit.problems import MalformedJson, TooLarge

_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"
_BLANKS = re.compile(rb"[ \t\r\n]*+")
_CHUNK_BYTES = 2**20
_MAX_DEPTH = 1_000
# Up to the next bracket (or comma) outside strings. Possessive throughout, so linear; it stops
# before a string whose end is not there yet.
_INSIDE = re.compile(rb'[^"\[\]{}]*+(?:"(?:[^"\\]++|\\.)*+"[^"\[\]{}]*+)*+', re.DOTALL)
_BETWEEN = re.compile(rb'[^"\[\]{},]*+(?:"(?:[^"\\]++|\\.)*+"[^"\[\]{},]*+)*+', re.DOTALL)


@dataclass(frozen=True, slots=True)
class RawItem:
    """One item of a body.

    Attributes:
        position: from 0.
        line: where it begins, from 1.
        data: its bytes; None when it is larger than an item may be.
    """

    position: int
    line: int
    data: bytes | None


Split = Callable[[BinaryIO, int], Iterator[RawItem]]


def lines(file: BinaryIO, max_item_bytes: int) -> Iterator[RawItem]:
    """The lines of an NDJSON body; blank ones are nothing."""
    position, number = 0, 0
    while line := file.readline(max_item_bytes + 1):
        number += 1
        if number == 1:
            line = line.removeprefix(_BOM)
        data: bytes | None = line.strip(_BLANK)
        while not line.endswith(b"\n") and len(line) > max_item_bytes:
            data, line = None, file.readline(max_item_bytes + 1)
        if data is None or data:
            yield RawItem(position, number, data)
            position += 1


def elements(file: BinaryIO, max_item_bytes: int) -> Iterator[RawItem]:
    """The elements of a body that is one JSON list.

    Only the list itself is looked at: what is between its commas may be anything.

    Raises:
        MalformedJson: it is no list, or breaks off. TooLarge: an element is too large.
    """
    window = _Window(file)
    if window.data.startswith(_BOM):
        window.at = len(_BOM)
    if window.next_byte() != b"[":
        raise window.malformed("must be a list of dialogues (or send application/x-ndjson)")
    window.at += 1
    if window.next_byte() == b"]":
        window.at += 1
    else:
        yield from _elements(window, max_item_bytes)
    if window.next_byte():
        raise window.malformed("ends before")


def _elements(window: "_Window", max_item_bytes: int) -> Iterator[RawItem]:
    position = 0
    while True:
        window.next_byte()
        line = window.line()
        start, end = _pass_element(window, max_item_bytes, position)
        if start == end:
            raise window.malformed("lacks a value before")
        yield RawItem(position, line, window.data[start:end])
        position += 1
        closing = window.data[end : end + 1]
        window.at = end + 1
        if closing == b"]":
            return


def _pass_element(window: "_Window", max_item_bytes: int, position: int) -> tuple[int, int]:
    """Where the element that begins here lies in the window; a comma or `]` follows."""
    length, depth = 0, 0  # of what was passed already
    while True:
        here = window.at + length
        match = (_INSIDE if depth else _BETWEEN).match(window.data, here)
        assert match is not None, "it matches nothing at all too"
        here = match.end()
        length = here - window.at
        if length > max_item_bytes:
            raise TooLarge(f"item {position} has more than {max_item_bytes} bytes")
        found = window.data[here : here + 1]
        if found in (b"", b'"'):
            if not window.grow():
                raise MalformedJson("the JSON breaks off at its end")
            continue
        if found in (b"[", b"{"):
            depth += 1
            if depth > _MAX_DEPTH:
                raise MalformedJson("the JSON is nested too deeply")
        elif depth:
            depth -= 1
        elif found == b"}":
            raise window.malformed("has a bracket too many after")
        else:
            return window.at, here
        length += 1


class _Window:
    """A part of a file: what begins at `at` is still needed, what is before it may go."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._line = 1
        self._counted = 0
        self.at = 0
        self.data = file.read(_CHUNK_BYTES)

    def next_byte(self) -> bytes:
        """Passes blanks; the byte that stands there then, nothing at the end."""
        while True:
            blank = _BLANKS.match(self.data, self.at)
            assert blank is not None, "it matches nothing at all too"
            self.at = blank.end()
            byte = self.data[self.at : self.at + 1]
            if byte or not self.grow():
                return byte

    def grow(self) -> bool:
        """Reads on, twice as far each time; whether there was more."""
        kept = self.data[self.at :]
        more = self._file.read(max(_CHUNK_BYTES, len(kept)))
        self.line()
        self._counted, self.at = 0, 0
        self.data = kept + more
        return bool(more)

    def line(self) -> int:
        """The line of what begins at `at`."""
        self._line += self.data.count(b"\n", self._counted, self.at)
        self._counted = self.at
        return self._line

    def malformed(self, how: str) -> MalformedJson:
        line = self.line()
        if how.startswith("must"):
            return MalformedJson(f"the JSON {how}", line=line)
        return MalformedJson(f"the JSON {how} line {line}", line=line)
