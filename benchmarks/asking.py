"""Asks the gateway, and the engine behind it, and takes the time of each."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from colloquy.contracts.fragments import FragmentSearchRequest
from colloquy.engine.client import EngineClient
from colloquy.engine.requests import Generation
from colloquy.profile import Task
from colloquy.protocols.f2rvlm import format_answer
from training.evaluate.cases import Question
from training.evaluate.direct import fragment_request
from training.evaluate.stack import described

PATH = "/v1/fragments/search"
TIMEOUT_S = 300.0


class Refused(Exception):
    """A request was not answered; the message says with what."""


@dataclass(frozen=True, slots=True)
class Timed:
    """An answer as the model wrote it, and the seconds it took."""

    text: str
    seconds: float
    written_tokens: int | None = None


class Gateway:
    """The public API, as a client would use it: connections are kept, pictures sent inline."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=url,
            timeout=TIMEOUT_S,
            trust_env=False,
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=64),
        )

    async def ask(self, question: Question) -> Timed:
        body = FragmentSearchRequest(query=question.query.text, dialogue=question.case.dialogue)
        content = body.model_dump_json(by_alias=True, exclude_none=True)
        start = time.perf_counter()
        response = await self._http.post(
            PATH, content=content, headers={"content-type": "application/json"}
        )
        seconds = time.perf_counter() - start
        if response.status_code != 200:
            raise Refused(f"the gateway answered {described(response)}")
        fragments = response.json()["fragments"]
        answer = format_answer(
            [i for fragment in fragments for i in fragment["utterance_ids"]],
            [i for fragment in fragments for i in fragment["image_ids"]],
        )
        return Timed(answer, seconds)

    async def close(self) -> None:
        await self._http.aclose()


class Engine:
    """The engine's socket, asked the very question that the generator puts."""

    def __init__(self, client: EngineClient, task: Task, model: str) -> None:
        self._client = client
        self._task = task
        self._model = model

    async def ask(self, question: Question) -> Timed:
        generation, seconds = await self.generate(question)
        return Timed(generation.text, seconds, generation.output_tokens)

    async def generate(self, question: Question) -> tuple[Generation, float]:
        request = fragment_request(question, self._task, self._model, grammar=True, tenant="bench")
        start = time.perf_counter()
        generation = await self._client.generate(request)
        return generation, time.perf_counter() - start


async def ask_at_once(side: Gateway | Engine, questions: Sequence[Question]) -> list[Timed]:
    return list(await asyncio.gather(*(side.ask(question) for question in questions)))


async def ask_in_turn(
    side: Gateway | Engine, questions: Sequence[Question], concurrency: int
) -> list[Timed]:
    """Keeps `concurrency` requests under way until all are answered."""
    waiting = iter(questions)
    answers: list[Timed] = []

    async def client() -> None:
        for question in waiting:
            answers.append(await side.ask(question))

    await asyncio.gather(*(client() for _ in range(concurrency)))
    return answers
