"""Reads predictions in the form that F2RVLM's inference writes: JSON Lines with `response`,
`labels`, `messages`, `dialogue_id` and `images`.

What upstream makes of a text is kept to the letter, since numbers depend on it: an id list is
whatever JSON stands between the first pair of tags on one line, and anything else is empty.
"""

import json
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from colloquy.protocols.f2rvlm import format_answer, render_fragment
from training.data.prompts import utterances
from training.evaluate.cases import Question
from training.evaluate.fragment_metrics import DEFAULT_MAX_ID, Chosen, Ids, Judged

SPLIT_MARK = "_split_"
"""What stands between a dialogue's id and the number of a slice of it."""

_UTTERANCES = re.compile(r"<\|utt_ids_start\|>(.*?)<\|utt_ids_end\|>")
_IMAGES = re.compile(r"<\|img_ids_start\|>(.*?)<\|img_ids_end\|>")
_UTTERANCE_ID = re.compile(r"<\|utt_id_start\|>(\d+)<\|utt_id_end\|>")
_IMAGE_ID = re.compile(r"<\|img_id_start\|>(\d+)<\|img_id_end\|>")
# An id above it cannot be of a dialogue; Python also refuses to read very long numbers.
_MAX_DIGITS = 9
_TOO_LARGE = 10**9


class BadLine(ValueError):
    """A line that is no prediction; the message says why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Where a file is wrong."""

    line: int
    why: str


@dataclass(frozen=True, slots=True)
class Row:
    """One prediction as it was written."""

    line: int
    response: str
    labels: str
    user: str | None
    dialogue_id: str
    images: tuple[str, ...]

    def judged(self) -> Judged:
        return Judged(chosen(self.labels), chosen(self.response), *universe(self.user))


def read(path: Path, *, labels: bool = True) -> tuple[list[Row], list[Fault]]:
    """Reads a file; blank lines are passed over.

    Args:
        labels: whether a row must have them; a slice need not when its dialogue is at hand.

    Raises:
        OSError: it cannot be read.
    """
    rows: list[Row] = []
    faults: list[Fault] = []
    with path.open(encoding="utf-8", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                rows.append(_row(number, line, labels=labels))
            except BadLine as error:
                faults.append(Fault(number, str(error)))
    return rows, faults


def write(path: Path, questions: Sequence[Question], predicted: Sequence[Chosen]) -> None:
    """Writes predictions of our own in the same form, so that upstream's tools can score them.

    Raises:
        OSError: it cannot be written.
    """
    with path.open("w", encoding="utf-8") as file:
        for question, answer in zip(questions, predicted, strict=True):
            world, query = question.case.world, question.query
            prompt = render_fragment(utterances(world), query.text)
            record = {
                "response": format_answer(_sorted(answer.utterances), _sorted(answer.images)),
                "labels": format_answer(query.utterance_ids, query.image_ids),
                "messages": [
                    {"role": "system", "content": prompt.system},
                    {"role": "user", "content": prompt.user},
                ],
                "dialogue_id": world.id,
                "images": [{"bytes": None, "path": name} for name in prompt.images],
            }
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def chosen(text: str) -> Chosen:
    """The ids that a text names, as upstream's evaluation reads them."""
    return Chosen(_ids(_UTTERANCES, text), _ids(_IMAGES, text))


def universe(user: str | None) -> tuple[int, int]:
    """The largest utterance id and image id of a prompt's user turn."""
    text = user or ""
    return _largest(_UTTERANCE_ID, text), _largest(_IMAGE_ID, text)


def image_paths(value: object) -> tuple[str, ...]:
    """Paths of pictures, written as strings or as `{"bytes": null, "path": "…"}`.

    Raises:
        BadLine: they are written in another way.
    """
    if not isinstance(value, list):
        raise BadLine("`images` is not a list")
    paths = []
    for place, image in enumerate(value):
        path = image.get("path") if isinstance(image, dict) else image
        if not isinstance(path, str):
            raise BadLine(f"images/{place} has no path")
        paths.append(path)
    return tuple(paths)


def first_user_turn(messages: object) -> str | None:
    """The text of the first user message, or None.

    Raises:
        BadLine: `messages` is not a list of messages with text.
    """
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise BadLine("`messages` is not a list of messages")
    for message in messages:
        if message.get("role") == "user":
            content: object = message.get("content", "")
            if not isinstance(content, str):
                raise BadLine("the user message is not text")
            return content
    return None


def _row(number: int, line: str, *, labels: bool) -> Row:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else "cannot be read"
        raise BadLine(f"is not JSON: {why}") from error
    if not isinstance(data, dict):
        raise BadLine("is not a JSON object")
    row = Row(
        line=number,
        response=_text(data, "response"),
        labels=_text(data, "labels") if labels else str(data.get("labels", "")),
        user=first_user_turn(data.get("messages", [])),
        dialogue_id=str(data.get("dialogue_id", "")),
        images=image_paths(data.get("images") or []),
    )
    largest = max(universe(row.user))
    if largest >= _TOO_LARGE:
        raise BadLine("an id of the user message is too large")
    return row


def _text(data: Mapping[str, object], name: str) -> str:
    if name not in data:
        raise BadLine(f"has no `{name}`")
    value = data[name]
    if not isinstance(value, str):
        raise BadLine(f"`{name}` is not a text")
    return value


def _sorted(ids: Ids | None) -> list[int]:
    return sorted(i for i in ids or () if isinstance(i, int))


def _ids(pattern: re.Pattern[str], text: str) -> Ids | None:
    found = pattern.search(text)
    try:
        value: object = json.loads(found[1].strip()) if found else []
    except (ValueError, RecursionError):
        return frozenset()
    if not isinstance(value, Iterable):
        return None
    try:
        members: list[Hashable] = list(value)
        return frozenset(members)
    except TypeError:  # a list inside the list: no set can hold it
        return None


def _largest(pattern: re.Pattern[str], text: str) -> int:
    numbers: list[str] = pattern.findall(text)
    if not numbers:
        return DEFAULT_MAX_ID
    if any(len(number) > _MAX_DIGITS for number in numbers):
        return _TOO_LARGE
    return max(int(number) for number in numbers)
