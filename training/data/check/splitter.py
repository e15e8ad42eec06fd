"""Cuts the items out of a JSON list that is too large to be read at once."""

import re
from collections.abc import Iterator

from training.data.check.problems import Problem
from training.data.check.raw import MAX_RECORD_BYTES, Raw, too_large

_MARKS = re.compile(rb'["\\\[\]{},\n]')
_QUOTE, _BACKSLASH, _COMMA, _NEWLINE = b'"\\,\n'
_OPENING, _CLOSING = frozenset(b"[{"), frozenset(b"]}")


class Splitter:
    """Follows brackets and quotes alone; whether an item is JSON is for others to say.

    A line break ends a string, as JSON allows none in it: a missing quote spoils one line.

    Attributes:
        done: nothing that is left is worth reading.
    """

    def __init__(self, most_bytes: int = MAX_RECORD_BYTES) -> None:
        self.done = False
        self._most_bytes = most_bytes
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._line = 1
        self._item = bytearray()
        self._item_line = 1
        self._too_large = False
        self._number = 0
        self._ended = False

    def feed(self, chunk: bytes) -> Iterator[Raw | Problem]:
        """Takes the next bytes of the file; yields the items that end in them."""
        if self._ended:
            yield from self._after(chunk)
            return
        begin = 0
        escaped = 0 if self._escaped else -1
        self._escaped = False
        for match in _MARKS.finditer(chunk):
            place = match.start()
            mark = chunk[place]
            if mark == _NEWLINE:
                self._line += 1
                self._in_string = False
            elif place == escaped:
                continue
            elif self._in_string:
                self._in_string = mark != _QUOTE
                if mark == _BACKSLASH:
                    escaped = place + 1
            elif mark == _QUOTE:
                self._in_string = True
            elif mark in _OPENING:
                self._depth += 1
                if self._depth == 1:
                    begin, self._item_line = place + 1, self._line
            elif mark in _CLOSING:
                self._depth -= 1
                if self._depth == 0:
                    self._keep(chunk[begin:place])
                    yield from self._taken(last=True)
                    if chunk[place:].startswith(b"}"):
                        yield Problem("JSON", self._line, "`}` ends the list, not `]`")
                    yield from self._after(chunk[place + 1 :])
                    return
            elif mark == _COMMA and self._depth == 1:
                self._keep(chunk[begin:place])
                yield from self._taken(last=False)
                begin = place + 1
        self._escaped = escaped == len(chunk)
        self._keep(chunk[begin:])

    def end(self) -> Iterator[Raw | Problem]:
        """The file has ended; of an item that has not, what there is tells where it went wrong."""
        if not self._ended:
            text = bytes(self._item)
            line = self._item_line + _leading_lines(text)
            cut = "the file ends inside it: it is cut off, or a bracket or a quote is missing"
            yield Problem("JSON", line, cut, number=self._number + 1)
            if text.strip():
                yield Raw(line, self._number + 1, text.strip())

    def _keep(self, piece: bytes) -> None:
        if len(self._item) + len(piece) > self._most_bytes and not self._too_large:
            self._item_line += _leading_lines(bytes(self._item) + piece)
            self._too_large = True
        if self._too_large:
            self._item.clear()
        else:
            self._item += piece

    def _taken(self, *, last: bool) -> Iterator[Raw | Problem]:
        text, was_too_large = bytes(self._item), self._too_large
        line = self._item_line + (0 if was_too_large else _leading_lines(text))
        self._item.clear()
        self._item_line, self._too_large = self._line, False
        if last:
            self._ended = True
        if was_too_large:
            self._number += 1
            yield Problem("JSON", line, too_large(self._most_bytes), number=self._number)
        elif text.strip():
            self._number += 1
            yield Raw(line, self._number, text.strip())
        elif not last:
            yield Problem("JSON", line, "nothing stands before a comma of the list")
        elif self._number:
            yield Problem("JSON", line, "a comma stands before the end of the list")

    def _after(self, rest: bytes) -> Iterator[Problem]:
        self._line += _leading_lines(rest)
        if rest.strip():
            yield Problem("JSON", self._line, "text stands behind the list's end; was not read")
            self.done = True


def _leading_lines(text: bytes) -> int:
    return text[: len(text) - len(text.lstrip())].count(b"\n")
