"""What the prefix cache saves: the same question again, and another about the same dialogue.

The published prompt puts the query before the dialogue, so another query shares only what stands
before it: little is to be expected, and it is measured all the same.
"""

import statistics
from collections.abc import Sequence
from itertools import islice
from typing import Any

from benchmarks.asking import Engine
from benchmarks.throughput import ratio
from benchmarks.workload import TURNS, long_dialogues
from colloquy.engine.requests import Generation

DIALOGUES = 10
Asked = tuple[Generation, float]


async def measure(engine: Engine) -> dict[str, Any]:
    new: list[Asked] = []
    again: list[Asked] = []
    other: list[Asked] = []
    for questions in islice(long_dialogues("prefix-cache"), DIALOGUES):
        new.append(await engine.generate(questions[0]))
        again.append(await engine.generate(questions[0]))
        other.append(await engine.generate(questions[1]))
    return {
        "turns": TURNS,
        "dialogues": DIALOGUES,
        "prompt_tokens": statistics.median(asked.prompt_tokens for asked, _ in new),
        "new": _state(new),
        "the same again": _state(again),
        "another query, same dialogue": _state(other),
        "times_faster_again": ratio(*_per_token(new, again)),
        "times_faster_other": ratio(*_per_token(new, other)),
    }


def _state(asked: Sequence[Asked]) -> dict[str, float]:
    return {
        "median_ms": round(1_000 * statistics.median(seconds for _, seconds in asked), 1),
        "cached_tokens": statistics.median(generation.cached_tokens for generation, _ in asked),
        "output_tokens": statistics.median(generation.output_tokens for generation, _ in asked),
    }


def _per_token(one: Sequence[Asked], other: Sequence[Asked]) -> tuple[list[float], list[float]]:
    """Seconds for each written token: answers differ in length, and writing takes time too."""
    return _rates(one), _rates(other)


def _rates(asked: Sequence[Asked]) -> list[float]:
    return [seconds / max(1, generation.output_tokens) for generation, seconds in asked]
