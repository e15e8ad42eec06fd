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


@dataclass(slots=True)
class Tally:
    seconds: list[float] = field(default_factory=list)
    equal: int = 0


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
            tallies[name].seconds.append(done.seconds)
            tallies[name].equal += _equal(done.texts, rounds[REFERENCE].texts)
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
    return Round(time.perf_counter() - start, [answer.text for answer in answers])


async def _worker(
    worker: TransformersSide, questions: Sequence[Question], *, batched: bool
) -> Round:
    done = await asyncio.to_thread(worker.answer, questions, batched=batched)
    return Round(done.seconds, done.texts)


def _equal(texts: Sequence[str], others: Sequence[str]) -> int:
    return sum(one == other for one, other in zip(texts, others, strict=True))
