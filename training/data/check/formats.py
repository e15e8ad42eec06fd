"""The published formats: which one a record looks like, and how it is checked."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from colloquy.servicekit.faults import faults_of
from training.data.check import candidates, conversations, dialogues, instructions, messages
from training.data.check.record import Record
from training.data.check.report import Report
from training.data.check.values import Finding

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Format:
    """One of the formats.

    Attributes:
        about: whose it is and how it is known.
        fits: whether a record looks like it.
    """

    about: str
    fits: Callable[[Raw], bool]
    model: type[Record]
    check: Callable[[Any, Report], None]


def _has(*names: str) -> Callable[[Raw], bool]:
    return lambda record: all(name in record for name in names)


def _converses(style: conversations.Style) -> Callable[[Raw], bool]:
    return lambda record: "conversations" in record and conversations.style_of(record) == style


# The first that fits is taken.
FORMATS: dict[str, Format] = {
    "swift": Format(
        "ms-swift's messages: MLDR for F2RVLM, its splitter's", _has("messages"),
        messages.Messages, messages.check,
    ),
    "surf": Format(
        "SURf's conversations with retrieved images", _converses("surf"),
        conversations.Surf, conversations.check_surf,
    ),
    "imageref": Format(
        "ImageRef-VL's conversations with IMAGE_k", _converses("imageref"),
        conversations.ImageRef, conversations.check_imageref,
    ),
    "llava": Format(
        "LLaVA's plain conversations", _converses("plain"),
        conversations.Conversation, conversations.check,
    ),
    "mire": Format(
        "MIRE's instructions with one label", _has("instruction"),
        instructions.Instruction, instructions.check,
    ),
    "mbeir-query": Format(
        "M-BEIR's queries, for LamRA", _has("qid"), candidates.Query, candidates.check_query
    ),
    "mbeir-candidate": Format(
        "M-BEIR's candidates", _has("did"), candidates.Candidate, candidates.check_candidate
    ),
    "wechat": Format(
        "raw WeChat dialogues with queries",
        lambda record: isinstance(record.get("dialogue"), list),
        dialogues.Dialogue, dialogues.check,
    ),
    "caption": Format(
        "images with captions, SURf's index", _has("image", "caption"),
        conversations.Caption, conversations.check_caption,
    ),
}  # fmt: skip


def detected(record: Raw) -> str | None:
    """The name of the format that a record looks like."""
    return next((name for name, one in FORMATS.items() if one.fits(record)), None)


def check(name: str, record: Raw) -> Report:
    """Checks a record as one of a format."""
    report = Report()
    try:
        model = FORMATS[name].model.model_validate(record)
    except ValidationError as error:
        report.findings += _faults(error, record)
    else:
        FORMATS[name].check(model, report)
    return report


def _faults(error: ValidationError, record: Raw) -> Iterator[Finding]:
    for finding in error.errors(include_url=False, include_input=False):
        if finding["type"] == "string_unicode":
            continue  # half of a surrogate pair, which is found in any value
        located: dict[str, Any] = {**finding, "loc": ("body", *finding["loc"])}
        for fault in faults_of([located], record):
            at = fault.at.removeprefix("body").removeprefix("/").replace("/", ".")
            yield Finding("field", at, fault.why)
