"""Reads and writes the ms-swift JSON that F2RVLM was trained and is evaluated on."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Message(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    role: Literal["system", "user", "assistant"]
    content: str


class SwiftSample(BaseModel):
    """One training sample; `<image>` in a message stands for the next of `images`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    messages: tuple[Message, ...]
    images: tuple[str, ...] = ()
    dialogue_id: str = ""
    solution: str = ""

    @field_validator("images")
    @classmethod
    def one_for_each_placeholder(
        cls, images: tuple[str, ...], info: ValidationInfo
    ) -> tuple[str, ...]:
        messages: tuple[Message, ...] = info.data.get("messages", ())
        places = sum(message.content.count("<image>") for message in messages)
        if places != len(images):
            raise ValueError(f"{places} <image> placeholders for {len(images)} images")
        return images

    @classmethod
    def of(
        cls, system: str, user: str, answer: str, images: Sequence[str], dialogue_id: str
    ) -> "SwiftSample":
        return cls(
            messages=(
                Message(role="system", content=system),
                Message(role="user", content=user),
                Message(role="assistant", content=answer),
            ),
            images=tuple(images),
            dialogue_id=dialogue_id,
            solution=answer,
        )


def read(path: Path) -> Iterator[SwiftSample]:
    """Yields the samples of a JSON list or, for `.jsonl`, of lines.

    Raises:
        ValueError: a sample is not of the format; the message says which.
    """
    text = path.read_text(encoding="utf-8")
    records = (
        [json.loads(line) for line in text.split("\n") if line.strip()]
        if path.suffix == ".jsonl"
        else json.loads(text)
    )
    for number, record in enumerate(records):
        try:
            yield SwiftSample.model_validate(record)
        except ValueError as error:
            raise ValueError(f"sample {number} of {path.name}: {error}") from error


def write(path: Path, samples: Sequence[SwiftSample]) -> None:
    """Writes a JSON list, or lines for `.jsonl`."""
    records = [sample.model_dump(mode="json") for sample in samples]
    if path.suffix == ".jsonl":
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    else:
        text = json.dumps(records, ensure_ascii=False, indent=1) + "\n"
    path.write_text(text, encoding="utf-8")
