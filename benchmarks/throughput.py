"""Ten queries over one dialogue: through the gateway, and the two ways of transformers.

Each repeat takes a dialogue of its own, which no side has seen, so that no cache is warm; the
sides take turns at going first.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from benchmarks.asking import Engine, Gateway, ask_at_once
from benchmarks.transformers_side import TransformersSide
from benchmarks.workload import QUERIES, TURNS, long_dialogues
from training.evaluate.cases import Question

GATEWAY = "Colloquy, through the gateway"
ENGINE = "its engine alone"
BATCHED = "transformers, one batch"
SINGLE = "transformers, one by one"
REFERENCE = SINGLE
"""Whose answers the others are compared with: what upstream runs."""

Side = Callable[[Sequence[Question]], Awaitable["Round"]]


@dataclass(frozen=True, slots=True)
class Round:
    """One side's ten answers and the seconds from the first question to the last answer."""

    seconds: float
    texts: list[str]
    written_tokens: int | None = None


@dataclass(slots=True)
class Tally:
    """What a side did over all repeats; tokens are None where it does not say."""

    seconds: list[float] = field(default_factory=list)
    equal: int = 0
    written_tokens: int | None = 0

    def add(self, done: Round, reference: Round) -> None:
        self.seconds.append(done.seconds)
        self.equal += sum(a == b for a, b in zip(done.texts, reference.texts, strict=True))
        if self.written_tokens is not None:
            more = done.written_tokens
            self.written_tokens = None if more is None else self.written_tokens + more


async def measure(
    gateway: Gateway, engine: Engine, worker: TransformersSide, repeats: int
) -> dict[str, Any]:
    sides: dict[str, Side] = {
        GATEWAY: lambda questions: _at_once(gateway, questions),
        ENGINE: lambda questions: _at_once(engine, questions),
        BATCHED: lambda questions: _worker(worker, questions, batched=True),
        SINGLE: lambda questions: _worker(worker, questions, batched=False),
    }
    for questions in islice(long_dialogues("warm-up"), 1):
        for side in sides.values():
            await side(questions)
    tallies = {name: Tally() for name in sides}
    pictures = []
    for number, questions in enumerate(islice(long_dialogues("throughput"), repeats)):
        pictures.append(len(questions[0].case.world.pictures))
        order = list(sides)
        order = order[number % len(order) :] + order[: number % len(order)]
        rounds = {name: await sides[name](questions) for name in order}
        for name, done in rounds.items():
            tallies[name].add(done, rounds[REFERENCE])
    return {
        "turns": TURNS,
        "pictures": pictures,
        "queries": QUERIES,
        "repeats": repeats,
        "threads_of_transformers": worker.threads,
        "sides": {
            name: {
                "seconds": [round(value, 4) for value in tally.seconds],
                "median_s": round(statistics.median(tally.seconds), 4),
                "equal_answers": tally.equal,
                "written_tokens": tally.written_tokens,
                "answers": QUERIES * repeats,
            }
            for name, tally in tallies.items()
        },
        "times_faster_than": {
            name: ratio(tallies[name].seconds, tallies[GATEWAY].seconds)
            for name in (BATCHED, SINGLE)
        },
    }


def ratio(slower: Sequence[float], faster: Sequence[float]) -> dict[str, float]:
    """The median of the ratios of one repeat each, and the smallest and largest."""
    ratios = [a / b for a, b in zip(slower, faster, strict=True)]
    return {
        "median": round(statistics.median(ratios), 2),
        "lowest": round(min(ratios), 2),
        "highest": round(max(ratios), 2),
    }


async def _at_once(side: Gateway | Engine, questions: Sequence[Question]) -> Round:
    for question in questions:
        question.case.dialogue  # noqa: B018  # its pictures are encoded before the clock starts
    start = time.perf_counter()
    answers = await ask_at_once(side, questions)
    seconds = time.perf_counter() - start
    written = [answer.written_tokens for answer in answers if answer.written_tokens is not None]
    total = sum(written) if len(written) == len(answers) else None
    return Round(seconds, [answer.text for answer in answers], total)


async def _worker(
    worker: TransformersSide, questions: Sequence[Question], *, batched: bool
) -> Round:
    done = await asyncio.to_thread(worker.answer, questions, batched=batched)
    return Round(done.seconds, done.texts, done.new_tokens)
