"""How often an answer has the published form and is right, with and without the grammar.

The grammar gives form only; what the model does without it is the model's own merit.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from colloquy.engine.client import EngineClient
from colloquy.engine.requests import Generation, GenerationRequest
from colloquy.profile import Profile, Task
from colloquy.protocols.f2rvlm import Malformed, parse_answer
from colloquy.servicekit.problems import Overloaded, Unavailable
from training.evaluate.cases import Question
from training.evaluate.direct import engine_client, fragment_request, served_name
from training.evaluate.fragment_metrics import Chosen, micro

CONCURRENCY = 8
TRIES = 10
WAIT_S = 3.0


@dataclass(frozen=True, slots=True)
class Form:
    """Over the same queries, at the engine.

    Attributes:
        well_formed: share of answers that the strict parser reads and whose ids all exist.
        joint_f1: micro, an answer that is not well formed taken as empty.
    """

    queries: int
    well_formed: float
    joint_f1: float


async def measure(
    profile: Profile, task: Task, version: str, questions: Sequence[Question]
) -> dict[str, Form]:
    """Asks every question both ways.

    Raises:
        ServiceError, LookupError: the engine cannot be asked.
    """
    async with engine_client(profile, task) as client:
        model = await served_name(client, version)  # fails at once where there is no engine
        return {
            "with grammar": await _form(client, questions, task, model, grammar=True),
            "without grammar": await _form(client, questions, task, model, grammar=False),
        }


async def _form(
    client: EngineClient, questions: Sequence[Question], task: Task, model: str, *, grammar: bool
) -> Form:
    places = asyncio.Semaphore(CONCURRENCY)

    async def one(question: Question) -> Generation:
        async with places:
            request = fragment_request(question, task, model, grammar=grammar)
            return await _patiently(client, request)

    answers = await asyncio.gather(*(one(question) for question in questions))
    read = [_strict(question, answer) for question, answer in zip(questions, answers, strict=True)]
    judged = [
        question.judge(predicted or Chosen.of())
        for question, predicted in zip(questions, read, strict=True)
    ]
    return Form(
        queries=len(read),
        well_formed=sum(predicted is not None for predicted in read) / len(read),
        joint_f1=round(micro(judged).joint.f1, 4),
    )


async def _patiently(client: EngineClient, request: GenerationRequest) -> Generation:
    """Asks again while the engine is out of reach: on a busy machine that means little."""
    for _ in range(TRIES - 1):
        try:
            return await client.generate(request)
        except (Unavailable, Overloaded):
            await asyncio.sleep(WAIT_S)
    return await client.generate(request)


def _strict(question: Question, answer: Generation) -> Chosen | None:
    try:
        found = parse_answer(answer.text)
    except Malformed:
        return None
    world = question.case.world
    for ids, size in (
        (found.utterance_ids, len(world.turns)),
        (found.image_ids, len(world.pictures)),
    ):
        # The published form also wants every id once.
        if len(set(ids)) != len(ids) or any(i >= size for i in ids):
            return None
    return Chosen.of(found.utterance_ids, found.image_ids)
