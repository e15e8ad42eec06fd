"""Reads a file item by item: JSON Lines, a JSON list, or one object."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from colloquy.contracts.content import Dialogue
from colloquy.dialogue_files.forms import NotADialogue, dialogue_of

_LINES = frozenset({".ndjson", ".jsonl"})


@dataclass(frozen=True, slots=True)
class Read:
    """A dialogue and the place that a person finds it at: `line 12`, or `item 12` of a list."""

    place: str
    dialogue: Dialogue


@dataclass(frozen=True, slots=True)
class Fault:
    """An item that is no dialogue.

    Attributes:
        at: the field in it, `utterances/3/content`.
    """

    place: str
    why: str
    at: str = ""
    dialogue_id: str | None = None

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.place, self.at, self.why)))


def read_dialogues(path: Path) -> Iterator[Read | Fault]:
    """Yields every dialogue of a file once, or what is wrong with an item.

    A dialogue that stands there again, as in samples of several queries over it, is passed over;
    another dialogue under the same id is a fault.

    Raises:
        OSError: the file cannot be read.
    """
    seen: dict[str, int] = {}
    for place, value in _items(path):
        if isinstance(value, Fault):
            yield value
            continue
        try:
            dialogue = dialogue_of(value)
        except NotADialogue as error:
            yield Fault(place, str(error), error.at, _id_of(value))
            continue
        key, content = str(dialogue.id), hash(dialogue.model_dump_json())
        if key not in seen:
            seen[key] = content
            yield Read(place, dialogue)
        elif seen[key] != content:
            yield Fault(place, "another dialogue of this file has the same id", "id", key)


def _items(path: Path) -> Iterator[tuple[str, object]]:
    if path.suffix.lower() in _LINES:
        yield from _lines(path)
        return
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if _begins_with_an_object(text):
            yield from _lines(path)
        else:
            yield "", Fault("", _not_json(error, line=True))
        return
    if isinstance(value, list) and not _is_one_dialogue(value):
        for number, item in enumerate(value, start=1):
            yield f"item {number}", item
    else:
        yield "", {"utterances": value} if isinstance(value, list) else value


def _lines(path: Path) -> Iterator[tuple[str, object]]:
    with path.open(encoding="utf-8", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            place = f"line {number}"
            try:
                yield place, json.loads(line)
            except (ValueError, RecursionError) as error:
                yield place, Fault(place, _not_json(error))


def _begins_with_an_object(text: str) -> bool:
    """Whether the first line is whole by itself: JSON Lines under another name."""
    first = text.lstrip().partition("\n")[0]
    try:
        return isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def _is_one_dialogue(value: list[object]) -> bool:
    """A bare list of turns, as a sample file may have it."""
    return bool(value) and all(
        isinstance(turn, dict) and "speaker" in turn and "content" in turn for turn in value
    )


def _not_json(error: Exception, *, line: bool = False) -> str:
    if not isinstance(error, json.JSONDecodeError):
        return "is not JSON that can be read"
    where = f"line {error.lineno}, " if line else ""
    return f"is not JSON: {where}column {error.colno}: {error.msg}"


def _id_of(value: object) -> str | None:
    if not isinstance(value, dict):
        return None
    named = value.get("id") or value.get("dialogue_id")
    return named if isinstance(named, str) else None
