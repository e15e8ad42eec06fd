"""Both stores answer the same after the same history, whatever it is."""

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.retriever.domain import Point, Where
from services.retriever.vector_store import VectorStore
from tests.integration.retriever.stores_at_hand import (
    DIMENSIONS,
    EVERYTHING,
    HAS_NO_INDEXES,
    KEY,
    SCHEMA,
    edge_store,
    identity,
    point,
    server_store,
    terms,
)

pytestmark = [pytest.mark.integration, *HAS_NO_INDEXES]


def unit(dice: random.Random) -> list[float]:
    vector = np.array([dice.gauss(0, 1) for _ in range(DIMENSIONS)])
    row: list[float] = (vector / np.linalg.norm(vector)).tolist()
    return row


def some(dice: random.Random, names: str) -> list[str]:
    return dice.sample(names, dice.randint(0, len(names)))


def any_point(dice: random.Random) -> Point:
    begin = dice.uniform(0, 100)
    made = point(
        dice.randrange(80),
        words={dice.randrange(12): dice.uniform(0.1, 3) for _ in range(dice.randint(0, 6))},
        dialogue=f"d{dice.randrange(9)}",
        revision=dice.randrange(5),
        speakers=some(dice, "abc"),
        times=(begin, begin + dice.uniform(0, 20)) if dice.random() < 0.7 else None,
        metadata={"lang": dice.choice(["de", "en"]), "n": dice.randrange(3)},
        acl=some(dice, "xy"),
    )
    return Point(made.id, {"clip": unit(dice), "lamra": unit(dice)}, made.bm25, made.payload)


def any_where(dice: random.Random) -> Where:
    def maybe(value: Any) -> Any:
        return value if dice.random() < 0.4 else None

    moments = [point_in_time(dice) for _ in range(2)]
    return Where(
        ids=maybe(tuple(identity(n) for n in dice.sample(range(90), 30))),
        dialogue_ids=maybe(tuple(f"d{n}" for n in dice.sample(range(9), 4))),
        speakers=maybe(tuple(some(dice, "abc"))),
        after=maybe(moments[0]),
        before=maybe(moments[1]),
        metadata={"lang": ('"lang"="de"',)} if dice.random() < 0.3 else {},
        labels=maybe(tuple(some(dice, "xy"))),
        before_revision=maybe(dice.randrange(6)),
    )


def point_in_time(dice: random.Random) -> datetime:
    return datetime.fromtimestamp(dice.uniform(0, 120), UTC)


async def answers(store: VectorStore, dice: random.Random) -> tuple[list[Any], list[float]]:
    """What must be equal, and what must be nearly.

    The order of BM25 is left out: the embedded store counts deleted points until it builds a graph.
    """
    where, query, words = any_where(dice), unit(dice), dict.fromkeys(dice.sample(range(12), 3), 1.0)
    near = await store.nearest(KEY, "lamra", query, where, 200, exact=True)
    match = await store.matching(KEY, terms(words), EVERYTHING, 200)
    page, following = await store.scroll(KEY, where, 7, identity(dice.randrange(80)))
    known = await store.similarities(KEY, "clip", query, [identity(n) for n in range(0, 90, 7)])
    equal = [
        [hit.id for hit in near],
        {hit.id for hit in match},
        [(p.id, p.payload, p.bm25) for p in page],
        following,
        sorted(known),
        await store.count(KEY, where),
    ]
    return equal, [hit.score for hit in near] + [known[identity] for identity in sorted(known)]


@pytest.mark.parametrize("seed", range(3))
async def test_both_stores_answer_alike(tmp_path: Path, seed: int) -> None:
    async with edge_store(tmp_path) as edge, server_store() as server:
        stores: list[VectorStore] = [edge, server]
        for store in stores:
            await store.open(KEY, SCHEMA)
        dice = random.Random(seed)
        for step in range(25):
            points = [any_point(dice) for _ in range(dice.randint(0, 12))]
            gone = any_where(dice) if dice.random() < 0.3 else Where(ids=())
            for store in stores:
                await store.upsert(KEY, points)
            assert await edge.delete(KEY, gone) == await server.delete(KEY, gone)
            if step == 12:
                await edge.optimise(KEY)
            asked = dice.random()
            ours, our_scores = await answers(edge, random.Random(asked))
            theirs, their_scores = await answers(server, random.Random(asked))
            assert ours == theirs
            assert our_scores == pytest.approx(their_scores, abs=1e-5)
