"""A reranker that ranks by rule: real HTTP, contracts and hop secret, no model."""

import asyncio
from dataclasses import dataclass, field

from fastapi import APIRouter, FastAPI, Response

from colloquy.contracts.content import ImagePart, TextPart
from colloquy.contracts.generation import TaskModel, TaskModels, Usage
from colloquy.contracts.operation import Check, Readiness
from colloquy.contracts.reranking import Rerank, Reranked
from colloquy.servicekit.problems import ServiceError
from tests.doubles.front_retriever import service

MAX_LISTED = 10


@dataclass
class RerankerDouble:
    """What it does next, and what it was asked.

    P(Yes) is 0.9 for a candidate that holds the query's text, or shows a picture that the query
    shows; else 0.1. A list gives its last such candidate 0.8, the others 0.01.

    Attributes:
        delays_s: before answering, by mode.
        unscored: the last so many candidates get no score.
    """

    failure: ServiceError | None = None
    delays_s: dict[str, float] = field(default_factory=dict)
    unscored: int = 0
    ready: bool = True
    asked: list[Rerank] = field(default_factory=list)

    def scores(self, asked: Rerank) -> list[float | None]:
        meets = [_meets(asked.query, candidate) for candidate in asked.candidates]
        scores: list[float | None]
        if asked.mode == "pointwise":
            scores = [0.9 if one else 0.1 for one in meets]
        else:
            listed = meets[:MAX_LISTED]
            best = max((place for place, one in enumerate(listed) if one), default=0)
            scores = [0.8 if place == best else 0.01 for place in range(len(listed))]
            scores += [None] * (len(meets) - len(listed))
        kept = len(scores) - self.unscored
        return [*scores[:kept], *([None] * self.unscored)]


def _meets(query: list[TextPart | ImagePart], candidate: list[TextPart | ImagePart]) -> bool:
    text = " ".join(part.text for part in candidate if isinstance(part, TextPart)).lower()
    shown = {part.image_url.url for part in candidate if isinstance(part, ImagePart)}
    return any(
        part.text.lower() in text if isinstance(part, TextPart) else part.image_url.url in shown
        for part in query
    )


def reranker_app(double: RerankerDouble, hop_secret: str) -> FastAPI:
    router = APIRouter()

    @router.post("/v1/rerank")
    async def rerank(asked: Rerank) -> Reranked:
        double.asked.append(asked)
        await asyncio.sleep(double.delays_s.get(asked.mode, 0.0))
        if double.failure is not None:
            raise double.failure
        return Reranked(
            scores=double.scores(asked),
            model="rank@1",
            degraded=["rerank-partial"] if double.unscored else [],
            cached=0,
            usage=Usage(model_calls=1, prompt_tokens=7, output_tokens=1),
        )

    @router.get("/v1/tasks")
    async def tasks() -> TaskModels:
        task = TaskModel(task="rank", model="rank@1", protocol="lamra", engine="double", created=2)
        return TaskModels(tasks=[task])

    @router.get("/readyz")
    async def ready(response: Response) -> Readiness:
        response.status_code = 200 if double.ready else 503
        return Readiness(ready=double.ready, checks=[Check(name="engine rank", ready=double.ready)])

    return service("reranker", router, hop_secret)
