"""Twenty candidates against one query: through the gateway, and the two ways of transformers.

Each repeat takes a dialogue of its own, which no side has seen, so that no cache is warm; the
sides take turns at going first.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Self

import httpx

from benchmarks.asking import TIMEOUT_S, Refused
from benchmarks.throughput import ratio
from benchmarks.transformers_side import TransformersSide
from benchmarks.workload import long_dialogues
from colloquy.contracts.content import Utterance
from colloquy.engine.client import EngineClient
from colloquy.engine.requests import GenerationRequest
from colloquy.protocols import lamra
from colloquy.protocols.prompt import Prompt
from training.evaluate.cases import Question
from training.evaluate.direct import content
from training.evaluate.stack import described

PATH = "/v1/rerank"
CANDIDATES = 20
TURNS = 4
LABELS = (lamra.YES, lamra.NO)

GATEWAY = "Colloquy, through the gateway"
ENGINE = "its engine alone"
BATCHED = "transformers, one batch"
SINGLE = "transformers, one by one"
REFERENCE = SINGLE
"""Whose scores the others are compared with: what upstream runs."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """A query and its candidates: fragments of one dialogue that overlap."""

    query: str
    fragments: list[Sequence[Utterance]]

    @classmethod
    def of(cls, question: Question) -> Self:
        turns = question.case.dialogue.utterances
        last = len(turns) - TURNS
        starts = [round(number * last / (CANDIDATES - 1)) for number in range(CANDIDATES)]
        return cls(question.query.text, [turns[start : start + TURNS] for start in starts])

    def prompts(self, family: lamra.Family) -> list[Prompt]:
        query = [lamra.query_text(lamra.FRAGMENT_INSTRUCTION, self.query)]
        shown = (lamra.fragment_content(turns) for turns in self.fragments)
        return [lamra.render_pointwise(query, one, family) for one in shown]

    @property
    def with_pictures(self) -> int:
        return sum(any(turn.images for turn in turns) for turns in self.fragments)


@dataclass(frozen=True, slots=True)
class Scores:
    """P(Yes) of each candidate, and the seconds from the question to the last of them."""

    values: list[float]
    seconds: float


class RerankGateway:
    """The public API, as a client of Jina's or Cohere's would use it; pictures go inline."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def score(self, ranking: Ranking) -> Scores:
        documents = [_parts(lamra.fragment_content(turns)) for turns in ranking.fragments]
        body = {"query": ranking.query, "documents": documents}
        start = time.perf_counter()
        response = await self._http.post(PATH, json=body)
        seconds = time.perf_counter() - start
        if response.status_code != 200:
            raise Refused(f"the gateway answered {described(response)}")
        found = {one["index"]: one["relevance_score"] for one in response.json()["results"]}
        if len(found) != len(ranking.fragments):
            raise Refused("the gateway left candidates without a score")
        return Scores([found[place] for place in range(len(found))], seconds)


class RerankEngine:
    """The engine's socket, asked the very questions that the reranker puts, all at once."""

    def __init__(self, client: EngineClient, family: lamra.Family, model: str) -> None:
        self._client = client
        self._family: lamra.Family = family
        self._model = model

    async def score(self, ranking: Ranking) -> Scores:
        tokens = [(await self._client.token_ids(self._model, label))[0] for label in LABELS]
        requests = [
            GenerationRequest(
                self._model, prompt.system, content(prompt), tenant="bench", max_tokens=1
            )
            for prompt in ranking.prompts(self._family)
        ]
        start = time.perf_counter()
        told = await asyncio.gather(
            *(self._client.first_token_probabilities(request, tokens) for request in requests)
        )
        return Scores([yes for yes, _ in told], time.perf_counter() - start)


@dataclass(frozen=True, slots=True)
class Sides:
    gateway: RerankGateway
    engine: RerankEngine
    worker: TransformersSide
    family: lamra.Family

    def by_name(self) -> dict[str, Callable[[Ranking], Awaitable[Scores]]]:
        return {
            GATEWAY: self.gateway.score,
            ENGINE: self.engine.score,
            BATCHED: lambda ranking: self._transformers(ranking, batched=True),
            SINGLE: lambda ranking: self._transformers(ranking, batched=False),
        }

    async def _transformers(self, ranking: Ranking, *, batched: bool) -> Scores:
        prompts = ranking.prompts(self.family)
        done = await asyncio.to_thread(self.worker.score, prompts, LABELS, batched=batched)
        return Scores(done.scores, done.seconds)


@dataclass(slots=True)
class Tally:
    """What a side did over all repeats."""

    seconds: list[float] = field(default_factory=list)
    most_apart: float = 0.0

    def add(self, done: Scores, reference: Scores) -> None:
        self.seconds.append(done.seconds)
        apart = (abs(a - b) for a, b in zip(done.values, reference.values, strict=True))
        self.most_apart = max(self.most_apart, *apart)


async def measure(sides: Sides, repeats: int) -> dict[str, Any]:
    ways = sides.by_name()
    for ranking in rankings("rerank/warm-up", 1):
        for score in ways.values():
            await score(ranking)
    tallies = {name: Tally() for name in ways}
    pictures = []
    for number, ranking in enumerate(rankings("rerank", repeats)):
        pictures.append(ranking.with_pictures)
        order = list(ways)
        order = order[number % len(order) :] + order[: number % len(order)]
        done = {name: await ways[name](ranking) for name in order}
        for name, scores in done.items():
            tallies[name].add(scores, done[REFERENCE])
    return {
        "candidates": CANDIDATES,
        "turns": TURNS,
        "pictures": pictures,
        "repeats": repeats,
        "threads_of_transformers": sides.worker.threads,
        "sides": {
            name: {
                "seconds": [round(value, 4) for value in tally.seconds],
                "median_s": round(statistics.median(tally.seconds), 4),
                "most_apart": round(tally.most_apart, 5),
            }
            for name, tally in tallies.items()
        },
        "times_faster_than": {
            name: ratio(tallies[name].seconds, tallies[GATEWAY].seconds)
            for name in (BATCHED, SINGLE)
        },
    }


def rankings(name: str, count: int) -> list[Ranking]:
    return [Ranking.of(questions[0]) for questions in islice(long_dialogues(name), count)]


def _parts(shown: lamra.Content) -> list[dict[str, Any]]:
    return [
        {"type": "image_url", "image_url": {"url": part.ref}}
        if isinstance(part, lamra.Picture)
        else {"type": "text", "text": part}
        for part in shown
    ]
