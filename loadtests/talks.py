"""Searches to send: dialogues put together from the samples, so that no two are quite alike."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_TURNS = 40
ANOTHER_QUERY_SHARE = 0.3
"""Of the searches, in the dialogue that was searched last: as people do."""
WITHOUT_PICTURES_SHARE = 0.25


class NoSamples(Exception):
    """There is nothing to send; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Search:
    """One request: `kind` is a closed set, for the report."""

    kind: str
    body: dict[str, Any]


def read_samples(path: Path) -> list[dict[str, Any]]:
    """The sample dialogues with their queries.

    Raises:
        NoSamples: the file is not there, or holds none.
    """
    try:
        samples: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NoSamples(f"{path}: the sample dialogues cannot be read") from error
    if not samples:
        raise NoSamples(f"{path}: there are no sample dialogues")
    return samples


def searches(
    samples: list[dict[str, Any]], *, seed: int, timeout_ms: int | None = None
) -> Iterator[Search]:
    """Endless; the same for the same seed."""
    chance = random.Random(seed)
    limits = {} if timeout_ms is None else {"timeout_ms": timeout_ms}
    last: tuple[dict[str, Any], list[str]] | None = None
    while True:
        again = last is not None and chance.random() < ANOTHER_QUERY_SHARE
        if last is None or not again:
            last = _talk(samples, chance)
        dialogue, queries = last
        body = {"query": chance.choice(queries), "dialogue": dialogue} | limits
        yield Search(_kind(dialogue, again=again), body)


def _talk(samples: list[dict[str, Any]], chance: random.Random) -> tuple[dict[str, Any], list[str]]:
    """A sample behind the end of another: another beginning, so that no cache knows it."""
    sample, other = chance.choice(samples), chance.choice(samples)
    turns = sample["dialogue"]["utterances"]
    before = other["dialogue"]["utterances"]
    room = max(0, min(MAX_TURNS - len(turns), len(before)))
    start = chance.randint(len(before) - room, len(before))
    together = [*before[start:], *turns]
    if chance.random() < WITHOUT_PICTURES_SHARE:
        together = [_without_pictures(turn) for turn in together]
    numbered = [{**turn, "id": number} for number, turn in enumerate(together)]
    return {"utterances": numbered}, [query["query"] for query in sample["queries"]]


def _without_pictures(turn: dict[str, Any]) -> dict[str, Any]:
    return {**turn, "content": " ".join(_texts(turn))}


def _texts(turn: dict[str, Any]) -> list[str]:
    content = turn["content"]
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content if "text" in part]


def _kind(dialogue: dict[str, Any], *, again: bool) -> str:
    pictures = any(
        not isinstance(turn["content"], str)
        and any("image_url" in part for part in turn["content"])
        for turn in dialogue["utterances"]
    )
    return ("pictures" if pictures else "text") + (", another query" if again else "")
