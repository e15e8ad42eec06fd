"""From bytes to a JSON value, strictly; what JSON's grammar alone lets pass is found too."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from training.data.check.problems import Kind, printable

MAX_DEPTH = 64
_MAX_DIGITS = 18
_NOT_TEXT = re.compile("[\x00\ud800-\udfff]")

Path = tuple[str | int, ...]


class NotJson(Exception):
    """Bytes that are no JSON.

    Attributes:
        line: counted from 0, in these bytes.
    """

    def __init__(self, why: str, line: int = 0) -> None:
        super().__init__(why)
        self.line = line


@dataclass(frozen=True, slots=True)
class Finding:
    kind: Kind
    at: str
    why: str


class HugeNumber(int):
    """Stands for a number with more digits than one here needs; its value is 0."""


class RepeatingObject(dict[str, Any]):
    """An object in which keys stand twice; the last value counts, as for every JSON library."""

    repeated: tuple[str, ...] = ()


def decode(text: bytes) -> Any:
    """Reads a record.

    Raises:
        NotJson: it is not UTF-8, or not JSON.
    """
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n")
        byte = error.start - text.rfind(b"\n", 0, error.start)
        raise NotJson(f"byte {byte} is not UTF-8", line) from None
    try:
        return _DECODER.decode(decoded)
    except json.JSONDecodeError as error:
        reason = error.msg[:1].lower() + error.msg[1:]
        raise NotJson(f"is not JSON: column {error.colno}: {reason}", error.lineno - 1) from None
    except RecursionError:
        raise NotJson(f"is nested deeper than {MAX_DEPTH} levels") from None


def findings(value: Any) -> Iterator[Finding]:
    """What no training file should hold, wherever it stands in a record."""
    levels: list[Iterator[tuple[Path, Any]]] = [iter([((), value)])]
    while levels:
        for path, one in levels[-1]:
            if len(path) > MAX_DEPTH:
                yield Finding("JSON", dotted(path[:4]), f"is nested deeper than {MAX_DEPTH} levels")
                return
            yield from _of_one(one, path)
            if isinstance(one, list | dict):
                levels.append(_inside(one, path))
                break
        else:
            levels.pop()


def _of_one(one: Any, path: Path) -> Iterator[Finding]:
    if isinstance(one, str):
        yield from _of_text(one, path)
    elif isinstance(one, HugeNumber):
        yield Finding("JSON", dotted(path), "has more digits than a number here needs")
    elif isinstance(one, float) and not math.isfinite(one):
        yield Finding("JSON", dotted(path), "is not a finite number; JSON has no such thing")
    elif isinstance(one, dict):
        for key in one:
            yield from _of_text(key, (*path, key))
        for key in getattr(one, "repeated", ()):
            yield Finding("JSON", dotted((*path, key)), "stands twice; the last one counts")


def _inside(one: list[Any] | dict[str, Any], path: Path) -> Iterator[tuple[Path, Any]]:
    """Made one by one: a record can hold millions."""
    for step, inner in one.items() if isinstance(one, dict) else enumerate(one):
        yield (*path, step), inner


def dotted(path: Path) -> str:
    return ".".join(printable(str(step), 64) for step in path)


def _of_text(text: str, path: Path) -> Iterator[Finding]:
    if (found := _NOT_TEXT.search(text)) is not None:
        what = "the character NUL" if found[0] == "\0" else "half of a surrogate pair"
        yield Finding("text", dotted(path), f"holds {what} at character {found.start() + 1}")


def _whole(digits: str) -> int:
    # Reading a number takes time that grows with the square of its digits.
    return int(digits) if len(digits) <= _MAX_DIGITS else HugeNumber()


def _real(digits: str) -> float:
    return float(digits) if len(digits) <= 10 * _MAX_DIGITS else HugeNumber()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    repeating = RepeatingObject(made)
    times = Counter(key for key, _ in pairs)
    repeating.repeated = tuple(key for key, count in times.items() if count > 1)
    return repeating


_DECODER = json.JSONDecoder(parse_int=_whole, parse_float=_real, object_pairs_hook=_object)
