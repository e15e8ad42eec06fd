"""ms-swift's messages, as F2RVLM and its splitter are trained on them."""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from colloquy.protocols import f2rvlm, ffrs
from colloquy.protocols.prompt import Malformed
from training.data.check.record import IMAGE, Picture, Record, images_for
from training.data.check.report import Identity, Report

FRAGMENT_FORM = "<|utt_ids_start|>[…]<|utt_ids_end|>;<|img_ids_start|>[…]<|img_ids_end|>"
SPLIT_FORM = "[[…], […]]"
_TAG = re.compile(r"<\|utt_id_start\|>[0-9]+<\|utt_id_end\|>")
_PICTURE = re.compile(r"<\|img_id_start\|>([0-9]{1,9})<\|img_id_end\|>(<image>)?")
_SPLITS = "划分为多个子片段"
_NAMED = 5


class Message(Record):
    role: Literal["system", "user", "assistant"]
    content: str


class Messages(Record):
    messages: list[Message] = Field(min_length=1)
    images: list[Picture] | None = None
    dialogue_id: str | None = None
    solution: str | None = None


def check(record: Messages, report: Report) -> None:
    _check_turns(record, report)
    images = record.images or []
    for number, path in enumerate(images):
        report.image(f"images.{number}", path)
    places = sum(message.content.count(IMAGE) for message in record.messages)
    if places != len(images):
        report.problem("placeholder", "images", images_for(places, len(images)))
    at, user = next(
        ((n, m.content) for n, m in enumerate(record.messages) if m.role == "user"), (0, "")
    )
    asks, splits = "<|query_start|>" in user, _SPLITS in user
    if not asks and not splits:
        report.what = "other"
        return
    report.what = "fragment" if asks else "split"
    ids = _check_dialogue(user, f"messages.{at}.content", report)
    for place, answer in _answers(record, report):
        if asks:
            _check_fragment(answer, place, ids, user.count(IMAGE), report)
        else:
            _check_split(answer, place, ids, report)
    if asks:
        _check_query(user, f"messages.{at}.content", report)
    if record.dialogue_id:
        block = "\n".join(f"{n.id} {n.speaker}: {n.text}" for n in f2rvlm.parse_lines(user))
        known = Identity("dialogue_id", "dialogue", record.dialogue_id, _digest(block), again=True)
        name = f"{report.what} {record.dialogue_id} {_digest(user)}"
        report.identities += [known, Identity("dialogue_id", "sample", name)]


def _check_turns(record: Messages, report: Report) -> None:
    expected = "user"
    for number, message in enumerate(record.messages):
        at = f"messages.{number}"
        report.needs_text(f"{at}.content", message.content)
        if message.role == "system":
            if number:
                report.problem("order", f"{at}.role", "a system turn stands first or nowhere")
        elif message.role != expected:
            why = f"is {message.role}, where {expected} must follow"
            report.problem("order", f"{at}.role", why)
        else:
            expected = "assistant" if message.role == "user" else "user"
        if message.role == "assistant" and IMAGE in message.content:
            why = f"an answer holds {IMAGE}, which only a prompt can"
            report.problem("placeholder", f"{at}.content", why)
    if record.messages[-1].role != "assistant" and not record.solution:
        last = f"messages.{len(record.messages) - 1}.role"
        report.problem("order", last, "no answer follows: neither `assistant` nor a `solution`")


def _check_dialogue(user: str, at: str, report: Report) -> list[int]:
    """The ids of the dialogue's lines, which count on by one; the pictures' count from 0."""
    lines = f2rvlm.parse_lines(user)
    if not lines:
        report.problem("field", at, "the prompt holds no numbered utterances")
    elif len(lines) != len(_TAG.findall(user)):
        report.problem("field", at, "a numbered utterance has no `speaker: ` before its text")
    else:
        first = lines[0].id
        for place, line in enumerate(lines):
            if line.id != first + place:
                why = f"utterance {line.id} stands where {first + place} must"
                report.problem("field", at, why)
                break
    tags = _PICTURE.findall(user)
    for place, (number, image) in enumerate(tags):
        if int(number) != place or not image:
            why = f"picture id {number} stands where {place} must, right before its {IMAGE}"
            report.problem("placeholder", at, why)
            break
    if tags and len(tags) != user.count(IMAGE):
        report.problem("placeholder", at, f"{user.count(IMAGE)} {IMAGE} have {len(tags)} ids")
    return [line.id for line in lines]


def _check_query(user: str, at: str, report: Report) -> None:
    try:
        if not f2rvlm.parse_query(user).strip():
            report.problem("empty", at, "the query is empty")
    except Malformed:
        report.problem("field", at, "the query has no `<|query_end|>`")


def _answers(record: Messages, report: Report) -> list[tuple[str, str]]:
    """The answers with their places: the last turn's, and GRPO's `solution` where it differs."""
    found = []
    last = len(record.messages) - 1
    if record.messages[last].role == "assistant":
        found.append((f"messages.{last}.content", record.messages[last].content))
    if record.solution is not None and not (found and record.solution == found[0][1]):
        if found:
            report.problem("answer", "solution", "is another answer than the assistant's")
        found.append(("solution", record.solution))
    return found


def _check_fragment(answer: str, at: str, ids: Sequence[int], images: int, report: Report) -> None:
    try:
        told = f2rvlm.parse_answer(answer)
    except Malformed:
        report.problem("answer", at, f"is not of the form {FRAGMENT_FORM}")
        return
    for name, given, known in (
        ("utterance", told.utterance_ids, set(ids)), ("picture", told.image_ids, set(range(images)))
    ):  # fmt: skip
        if unknown := sorted(set(given) - known):
            why = f"names {name} {_listed(unknown)}, which the dialogue does not have"
            report.problem("answer", at, why)
        if repeated := [number for number, times in Counter(given).items() if times > 1]:
            report.problem("answer", at, f"names {name} {_listed(repeated)} more than once")


def _check_split(answer: str, at: str, ids: Sequence[int], report: Report) -> None:
    try:
        groups = f2rvlm.parse_split(answer)
    except Malformed:
        report.problem("answer", at, f"is not of the form {SPLIT_FORM}")
        return
    found = ffrs.coverage(groups, ids)
    for numbers, why in (
        (found.missing, "leaves out utterance {}"),
        (found.extra, "names utterance {}, which the dialogue does not have"),
        (found.repeated, "names utterance {} more than once"),
    ):
        if numbers:
            report.problem("answer", at, why.format(_listed(numbers)))
    if not all(groups):
        report.problem("answer", at, "holds an empty fragment")


def _listed(numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
    return ", ".join(str(number)[:12] for number in numbers[:_NAMED]) + more


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
