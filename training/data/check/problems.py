"""A problem: where it is, and why it is one."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "file", "JSON", "text", "field", "order", "empty", "placeholder", "image", "answer", "id"
]
_MAX_SHOWN = 120


class NotReadable(Exception):
    """The file cannot be opened at all; the message says why."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong in one place.

    Attributes:
        line: where the record begins; of what is no JSON, the very line.
        at: the field, `messages.1.content`; empty where the record as a whole is wrong.
        number: of the record in a JSON list, from 1.
    """

    kind: Kind
    line: int
    why: str
    at: str = ""
    number: int | None = None

    def shown(self, file: str) -> str:
        record = f"record {self.number}" if self.number is not None else ""
        parts = (f"{printable(file, 1_000)}:{self.line}", record, printable(self.at), self.why)
        return ": ".join(filter(None, parts))


def printable(text: str, most: int = _MAX_SHOWN) -> str:
    """Somebody's text as one line that does nothing to a terminal."""
    cut = text[:most]
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
    return shown if len(text) <= most else f"{shown}…"
