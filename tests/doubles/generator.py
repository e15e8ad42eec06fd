"""A generator that answers by rule: real HTTP, contracts and hop secret, no model."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fastapi import APIRouter, FastAPI, Response
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from colloquy.contracts.content import Dialogue
from colloquy.contracts.generation import (
    FragmentAnswer,
    FragmentTask,
    SplitAnswer,
    SplitTask,
    TaskModel,
    TaskModels,
    Usage,
)
from colloquy.contracts.operation import Check, Readiness
from colloquy.servicekit.app import create_service
from colloquy.servicekit.deadlines import current_deadline
from colloquy.servicekit.problems import ServiceError


@dataclass
class GeneratorDouble:
    """What it does next, and what it was asked.

    A turn answers when it contains the query; each of its pictures answers too. The query
    `picture N` is answered by that picture alone. A topic is four turns long.

    Attributes:
        failure: raised instead of answering.
        delay_s: before answering.
        answer: given instead of the rule's.
    """

    failure: ServiceError | None = None
    delay_s: float = 0.0
    answer: FragmentAnswer | None = None
    split_answer: list[list[int]] | None = None
    ready: bool = True
    asked: list[FragmentTask | SplitTask] = field(default_factory=list)
    deadlines_ms: list[int] = field(default_factory=list)
    cancelled: int = 0
    at_once: int = 0
    most_at_once: int = 0

    async def work(self, task: FragmentTask | SplitTask) -> None:
        self.asked.append(task)
        deadline = current_deadline()
        self.deadlines_ms.append(deadline.left_ms() if deadline else -1)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.at_once -= 1
        if self.failure is not None:
            raise self.failure

    def find(self, dialogue: Dialogue, query: str) -> FragmentAnswer:
        if query.startswith("picture "):
            return _answer([], [int(query.removeprefix("picture "))])
        turns = [
            turn.id
            for turn in dialogue.utterances
            if any(query in part.text for part in turn.parts if part.type == "text")
        ]
        owners = dialogue.image_owners()
        return _answer(turns, [i for i, owner in enumerate(owners) if owner in turns])


def generator_app(double: GeneratorDouble, hop_secret: str) -> FastAPI:
    router = APIRouter()

    @router.post("/v1/fragment")
    async def fragment(task: FragmentTask) -> FragmentAnswer:
        await double.work(task)
        return double.answer or double.find(task.dialogue, task.query)

    @router.post("/v1/split")
    async def split(task: SplitTask) -> SplitAnswer:
        await double.work(task)
        ids = [turn.id for turn in task.dialogue.utterances]
        topics = double.split_answer or [ids[i : i + 4] for i in range(0, len(ids), 4)]
        return SplitAnswer(fragments=topics, model="split@1", usage=Usage())

    @router.get("/v1/tasks")
    async def tasks() -> TaskModels:
        names = ("fragment", "split")
        return TaskModels(
            tasks=[
                TaskModel(
                    task=name, model=f"{name}@1", protocol="f2rvlm", engine="double", created=1
                )
                for name in names
            ]
        )

    @router.get("/readyz")
    async def ready(response: Response) -> Readiness:
        response.status_code = 200 if double.ready else 503
        detail = None if double.ready else "does not answer its probe"
        check = Check(name="engine double", ready=double.ready, detail=detail)
        return Readiness(ready=double.ready, checks=[check])

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield

    return create_service(
        "generator",
        routers=[router],
        lifespan=lifespan,
        registry=CollectorRegistry(),
        hop_secret=SecretStr(hop_secret),
        max_body_bytes=64 * 2**20,
    )


def _answer(utterance_ids: list[int], image_ids: list[int]) -> FragmentAnswer:
    return FragmentAnswer(
        utterance_ids=utterance_ids, image_ids=image_ids, model="fragment@1", usage=Usage()
    )
