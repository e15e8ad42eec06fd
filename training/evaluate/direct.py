"""Puts a question to the engine itself, past the gateway and the generator.

For what the API does not offer: to ask without the grammar, and to time the engine alone.
"""

import base64
from collections.abc import Sequence

from colloquy.contracts.content import Utterance
from colloquy.engine.client import EngineClient
from colloquy.engine.requests import EngineImage, GenerationRequest
from colloquy.profile import OpenAIEngine, Profile, Task
from colloquy.protocols.f2rvlm import Prompt, fragment_grammar, render_fragment
from training.evaluate.cases import Question

TENANT = "evaluation"


def engine_client(profile: Profile, task: Task) -> EngineClient:
    engine = profile.engines[task.engine]
    return EngineClient(profile.address_of_engine(task.engine), capabilities=engine.capabilities)


def can_ask_directly(profile: Profile, task: Task) -> bool:
    """Whether the engine is a vLLM of ours: one that takes grammars, and needs no key."""
    engine = profile.engines[task.engine]
    return not isinstance(engine, OpenAIEngine) and engine.capabilities.grammar == "ebnf"


async def served_name(client: EngineClient, version: str) -> str:
    """What the engine calls the model that the stack calls `version`.

    Raises:
        ServiceError: the engine does not answer.
        LookupError: it serves nothing.
    """
    models = await client.models()
    if any(model.name == version for model in models):
        return version
    bases = [model.name for model in models if model.parent is None]
    if not bases:
        raise LookupError("the engine serves no model")
    return bases[0]


def fragment_request(
    question: Question, task: Task, model: str, *, grammar: bool, tenant: str = TENANT
) -> GenerationRequest:
    """The very question that the generator would put, with or without its grammar."""
    turns = question.case.dialogue.utterances
    return GenerationRequest(
        model=model,
        system=(prompt := render_fragment(turns, question.query.text)).system,
        content=content(prompt),
        tenant=tenant,
        max_tokens=task.max_output_tokens,
        grammar=_grammar(turns) if grammar else None,
    )


def content(prompt: Prompt) -> list[str | EngineImage]:
    """The user turn's text and pictures, in order; pictures are `data:` URLs."""
    parts: list[str | EngineImage] = []
    for text, url in prompt.segments():
        if text:
            parts.append(text)
        if url is not None:
            parts.append(_picture(url))
    return parts


def _grammar(turns: Sequence[Utterance]) -> str:
    images = sum(len(turn.images) for turn in turns)
    return fragment_grammar([turn.id for turn in turns], images)


def _picture(url: str) -> EngineImage:
    head, _, data = url.partition(",")
    media_type = head.removeprefix("data:").removesuffix(";base64")
    return EngineImage(base64.b64decode(data), media_type)
