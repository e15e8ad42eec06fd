"""What the gateway and the generator add to an engine's call, by asking both for the same.

Every question is asked once by each way before it is timed, so both find the engine's caches as
they left them. Ways take turns: request by request alone, block by block when many are at once.
"""

import statistics
from collections.abc import Sequence
from itertools import islice
from typing import Any

from benchmarks.asking import Engine, Gateway, Timed, ask_in_turn
from benchmarks.workload import short_dialogues
from training.evaluate.cases import Question
from training.evaluate.latency import milliseconds

POOL = 16
ALONE = 80
AT_ONCE = 16
BLOCK = 48


async def measure(gateway: Gateway, engine: Engine, repeats: int) -> dict[str, Any]:
    pool = [questions[0] for questions in islice(short_dialogues("overhead"), POOL)]
    for side in (gateway, engine):
        await ask_in_turn(side, pool, 4)
    return {
        "concurrency 1": await _alone(gateway, engine, pool),
        f"concurrency {AT_ONCE}": await _at_once(gateway, engine, pool, repeats),
    }


async def _alone(gateway: Gateway, engine: Engine, pool: Sequence[Question]) -> dict[str, Any]:
    through: list[Timed] = []
    direct: list[Timed] = []
    for number in range(ALONE):
        question = pool[number % len(pool)]
        # Who goes first changes, so that neither profits from the other's warmth.
        for side, times in ((gateway, through), (engine, direct))[:: 1 if number % 2 else -1]:
            times.append(await side.ask(question))
    added = [a.seconds - b.seconds for a, b in zip(through, direct, strict=True)]
    return _compared(through, direct) | {
        "added_paired_median_ms": round(1_000 * statistics.median(added), 1)
    }


async def _at_once(
    gateway: Gateway, engine: Engine, pool: Sequence[Question], repeats: int
) -> dict[str, Any]:
    through: list[Timed] = []
    direct: list[Timed] = []
    block = [pool[number % len(pool)] for number in range(BLOCK)]
    for number in range(repeats):
        for side, times in ((gateway, through), (engine, direct))[:: 1 if number % 2 else -1]:
            times += await ask_in_turn(side, block, AT_ONCE)
    return _compared(through, direct)


def _compared(through: Sequence[Timed], direct: Sequence[Timed]) -> dict[str, Any]:
    one = milliseconds([answer.seconds for answer in through])
    other = milliseconds([answer.seconds for answer in direct])
    return {
        "gateway_ms": one,
        "engine_ms": other,
        "added_p50_ms": round(one["p50"] - other["p50"], 1),
        "added_p95_ms": round(one["p95"] - other["p95"], 1),
    }
