"""LLaVA's conversations: plain ones, SURf's with retrieved images, ImageRef-VL's with marks."""

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from training.data.check.record import IMAGE, Id, Listed, Record, images_for
from training.data.check.report import Identity, Report

Style = Literal["plain", "surf", "imageref"]
_RETRIEVED = re.compile(r"(\d{1,9})\. <image>")
_MARKED = re.compile(r"IMAGE_(\d{1,9}): <image>")
_REFERENCE = re.compile(r"IMAGE_(\d{1,9})")


class Turn(Record):
    who: Literal["human", "gpt"] = Field(alias="from")
    value: str


class Conversation(Record):
    id: Id
    conversations: list[Turn] = Field(min_length=2)
    image: Listed | None = None


class Surf(Conversation):
    """The test picture, and the retrieved ones with what each is worth."""

    image: Listed = Field(min_length=1, max_length=1)
    images: list[str]
    labels: list[Literal[0, 1]] | None = None


class ImageRef(Conversation):
    image: Listed = Field(min_length=1)


class Caption(Record):
    """A picture of SURf's index."""

    image: str
    caption: str


def style_of(record: Mapping[str, Any]) -> Style:
    """Which of the three a record with `conversations` looks like."""
    if "images" in record or "labels" in record:
        return "surf"
    turns = record.get("conversations")
    first = turns[0] if isinstance(turns, list) and turns else None
    asked = first.get("value") if isinstance(first, dict) else None
    is_marked = isinstance(asked, str) and _MARKED.search(asked) is not None
    return "imageref" if is_marked else "plain"


def check(record: Conversation, report: Report) -> None:
    report.what = "plain"
    asked = _check_turns(record, report)
    images = record.image or []
    _take_images("image", images, report)
    if (places := asked.count(IMAGE)) != len(images):
        report.problem("placeholder", "image", images_for(places, len(images)))


def check_surf(record: Surf, report: Report) -> None:
    """Every retrieved image stands in the question, in order, and the test image behind them."""
    report.what = "surf"
    asked = _check_turns(record, report)
    _take_images("image", record.image, report)
    _take_images("images", record.images, report)
    wanted = len(record.images) + 1
    if (places := asked.count(IMAGE)) != wanted:
        why = f"{images_for(places, wanted)}, the test picture among them"
        report.problem("placeholder", "images", why)
    if record.labels is not None and len(record.labels) != len(record.images):
        why = f"has {len(record.labels)} labels for {len(record.images)} retrieved images"
        report.problem("answer", "labels", why)
    at, question = "conversations.0.value", record.conversations[0].value
    block, closed, _ = question.partition("<Retrieval>")[2].partition("</Retrieval>")
    if record.images and not closed:
        report.problem("field", at, "has no <Retrieval>…</Retrieval> with the retrieved images")
    elif closed:
        numbers = [int(number) for number in _RETRIEVED.findall(block)]
        if numbers != list(range(1, len(record.images) + 1)):
            why = f"the retrieved images are not numbered from 1 to {len(record.images)}"
            report.problem("placeholder", at, why)


def check_imageref(record: ImageRef, report: Report) -> None:
    """Pictures are marked `IMAGE_1: <image>` and so on; answers name each at most once."""
    report.what = "imageref"
    asked = _check_turns(record, report)
    count = len(record.image)
    _take_images("image", record.image, report)
    if (places := asked.count(IMAGE)) != count:
        report.problem("placeholder", "image", images_for(places, count))
    elif [int(number) for number in _MARKED.findall(asked)] != list(range(1, count + 1)):
        why = f"the images are not marked `IMAGE_1: {IMAGE}` to `IMAGE_{count}: {IMAGE}`"
        report.problem("placeholder", "conversations.0.value", why)
    for number, turn in enumerate(record.conversations):
        if turn.who == "gpt":
            named = [int(found) for found in _REFERENCE.findall(turn.value)]
            at = f"conversations.{number}.value"
            if unknown := sorted({one for one in named if not 1 <= one <= count}):
                report.problem("answer", at, f"names IMAGE_{unknown[0]} of {count} images")
            if len(set(named)) < len(named):
                report.problem("answer", at, "names an image twice")


def check_caption(record: Caption, report: Report) -> None:
    report.what = "caption"
    report.image("image", record.image)
    report.needs_text("caption", record.caption)
    report.identities.append(Identity("image", "caption", record.image))


def _check_turns(record: Conversation, report: Report) -> str:
    """Human and gpt take turns, and gpt speaks last. Returns all that was asked."""
    report.needs_text("id", record.id)
    report.identities.append(Identity("id", "conversation", record.id))
    asked = []
    for number, turn in enumerate(record.conversations):
        at = f"conversations.{number}"
        expected = "gpt" if number % 2 else "human"
        if turn.who != expected:
            why = f"is {turn.who}, where {expected} must follow"
            report.problem("order", f"{at}.from", why)
        report.needs_text(f"{at}.value", turn.value)
        if turn.who == "human":
            asked.append(turn.value)
        elif IMAGE in turn.value or "<Retrieval>" in turn.value:
            why = f"an answer holds {IMAGE} or <Retrieval>, which only a question can"
            report.problem("placeholder", f"{at}.value", why)
    if record.conversations[-1].who != "gpt":
        last = f"conversations.{len(record.conversations) - 1}.from"
        report.problem("order", last, "no answer of gpt follows")
    return "\n".join(asked)


def _take_images(at: str, images: list[str], report: Report) -> None:
    for number, path in enumerate(images):
        report.image(f"{at}.{number}", path)
