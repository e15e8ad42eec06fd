"""Puts the slices of long dialogues together before they are judged.

Upstream cuts a dialogue of more than 100 turns and calls slice `k` of it `<id>_split_<k>`. The
answer over the whole is the union: utterance ids are the dialogue's own already, pictures are
found again by their path.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from colloquy.protocols.f2rvlm import format_answer
from training.evaluate.predictions import (
    SPLIT_MARK,
    BadLine,
    Fault,
    Row,
    first_user_turn,
    image_paths,
    universe,
)

_UTTERANCES = re.compile(r"<\|utt_ids_start\|>(.*?)<\|utt_ids_end\|>", re.DOTALL)
_IMAGES = re.compile(r"<\|img_ids_start\|>(.*?)<\|img_ids_end\|>", re.DOTALL)


class NoDialogues(Exception):
    """The file of whole dialogues cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Original:
    """A whole dialogue, as it was before it was cut."""

    solution: str
    user: str | None
    images: tuple[str, ...]


def read_originals(path: Path) -> dict[str, Original]:
    """Reads whole dialogues, a JSON list of training samples, by their id.

    Raises:
        NoDialogues: it cannot be read, or an entry is wrong.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NoDialogues(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise NoDialogues(f"{path}: is not JSON") from error
    if not isinstance(entries, list):
        raise NoDialogues(f"{path}: is not a list of dialogues")
    originals = {}
    for place, entry in enumerate(entries):
        try:
            name, original = _original(entry)
        except BadLine as error:
            raise NoDialogues(f"{path}: entry {place}: {error}") from error
        originals[name] = original
    return originals


def count_cut(rows: Iterable[Row]) -> int:
    """How many dialogues are there in slices."""
    ids = [row.dialogue_id for row in rows]
    return len({name.split(SPLIT_MARK)[0] for name in ids if SPLIT_MARK in name})


def merge(rows: Iterable[Row], originals: Mapping[str, Original]) -> tuple[list[Row], list[Fault]]:
    """Joins the rows of each dialogue, with the gold of the whole one, as upstream does."""
    merged: list[Row] = []
    faults: list[Fault] = []
    for name, group in _groups(rows).items():
        original = originals.get(name)
        if original is None:
            faults += [Fault(row.line, f"no whole dialogue is called {name!r}") for row in group]
            continue
        utterances, paths = _union(group, [row.response for row in group])
        # A path that occurs twice stands for its last place, as upstream.
        place = {path: number for number, path in enumerate(original.images)}
        images = sorted({place[path] for path in paths if path in place})
        response = format_answer(sorted(utterances), images)
        merged.append(
            Row(group[0].line, response, original.solution, original.user, name, original.images)
        )
    return merged, faults


def merge_without_originals(rows: Iterable[Row]) -> list[Row]:
    """Joins slices by themselves: the gold is their gold's union, pictures are numbered through.

    Equal to `merge` when the slices hold the whole dialogue and no picture occurs twice.
    """
    merged = []
    for name, group in _groups(rows).items():
        group.sort(key=_slice_number)
        paths = tuple(dict.fromkeys(path for row in group for path in row.images))
        merged.append(
            Row(
                line=group[0].line,
                response=_joined(group, [row.response for row in group], paths),
                labels=_joined(group, [row.labels for row in group], paths),
                user=_numbered(group, len(paths)),
                dialogue_id=name,
                images=paths,
            )
        )
    return merged


def _joined(group: list[Row], texts: list[str], paths: tuple[str, ...]) -> str:
    utterances, images = _union(group, texts)
    return format_answer(sorted(utterances), sorted(map(paths.index, images)))


def _groups(rows: Iterable[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.dialogue_id.split(SPLIT_MARK)[0], []).append(row)
    return groups


def _union(group: Iterable[Row], texts: Iterable[str]) -> tuple[set[int], set[str]]:
    """Utterance ids and picture paths that `texts`, written about the rows of `group`, name."""
    utterances: set[int] = set()
    paths: set[str] = set()
    for row, text in zip(group, texts, strict=True):
        utterances.update(_numbers(_UTTERANCES, text))
        paths.update(row.images[i] for i in _numbers(_IMAGES, text) if i < len(row.images))
    return utterances, paths


def _numbers(pattern: re.Pattern[str], text: str) -> list[int]:
    found = pattern.search(text)
    numbers = re.findall(r"\d+", found[1]) if found else []
    return [int(number) for number in numbers if len(number) <= 18]


def _slice_number(row: Row) -> int:
    number = row.dialogue_id.rpartition(SPLIT_MARK)[2]
    return int(number) if number.isascii() and number.isdigit() else 0


def _numbered(group: Iterable[Row], images: int) -> str:
    """The ids of a whole dialogue, as its prompt would name them."""
    last = max(universe(row.user)[0] for row in group)
    pictures = f"<|img_id_start|>{images - 1}<|img_id_end|>" if images else ""
    return f"<|utt_id_start|>{last}<|utt_id_end|>{pictures}"


def _original(entry: object) -> tuple[str, Original]:
    if not isinstance(entry, dict) or not isinstance(entry.get("dialogue_id"), str):
        raise BadLine("has no `dialogue_id`")
    solution = entry.get("solution", "")
    if not isinstance(solution, str):
        raise BadLine("`solution` is not a text")
    user = first_user_turn(entry.get("messages", []))
    return entry["dialogue_id"], Original(solution, user, image_paths(entry.get("images", [])))
