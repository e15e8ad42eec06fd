"""An engine that embeds computes what transformers computes on the same weights."""

import asyncio
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import Image

from colloquy.contracts.content import ImagePart, TextPart, Utterance
from colloquy.engine.client import EngineClient
from colloquy.engine.failures import ModelMissing, PromptTooLong
from colloquy.engine.requests import EngineImage, GenerationRequest
from colloquy.profile import Capabilities
from colloquy.protocols import lamra
from colloquy.protocols.lamra import Picture
from colloquy.protocols.prompt import Prompt
from colloquy.servicekit.problems import ServiceError
from tests import starter
from tests.integration.questions import picture, png
from tests.integration.reference import Reference
from tests.live_engine import LiveEngine

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
MODELS = [starter.BASE, starter.EMBED]
PICTURES = {f"picture-{seed}": picture(seed, (112 + 14 * seed, 84)) for seed in range(4)}
TURNS = [
    Utterance(speaker="Ann", content="do you have red shoes? 你好"),
    Utterance(speaker="Bob", content=[TextPart(text="these"), ImagePart.of("picture-0")]),
    Utterance(speaker="Ann", content=[ImagePart.of("picture-1"), TextPart(text="no, like that")]),
]
CONTENTS: dict[str, lamra.Content] = {
    "a text": ["Red shoes."],
    "a long text": [" ".join(f"word {number}" for number in range(300))],
    "a picture": [Picture("picture-2")],
    "a picture and a text": [Picture("picture-3"), "Shoes like these."],
    "a query": [lamra.query_text(lamra.FRAGMENT_INSTRUCTION, "red shoes")],
    "a fragment": lamra.fragment_content(TURNS),
}


@pytest.fixture
async def client(pooling_engine: LiveEngine) -> AsyncIterator[EngineClient]:
    address = pooling_engine.address
    async with EngineClient(address, capabilities=Capabilities(), pools=True) as client:
        if starter.EMBED not in {model.name for model in await client.models()}:
            await client.load_adapter(starter.EMBED, str((starter.folder_of("embed")).resolve()))
        yield client


@cache
def reference(model: str) -> Reference:
    adapter = None if model == starter.BASE else starter.folder_of("embed")
    return Reference(starter.folder_of("base"), adapter)


def request(model: str, prompt: Prompt) -> GenerationRequest:
    content: list[str | EngineImage] = []
    for text, ref in prompt.segments():
        content.append(text)
        if ref is not None:
            content.append(EngineImage(png(PICTURES[ref]), "image/png"))
    return GenerationRequest(model, prompt.system, content, tenant="t", max_tokens=1)


def last_state(model: str, prompt: Prompt, *, plain_positions: bool = False) -> Any:
    """The last token's state behind the last norm, at length 1."""
    content: list[str | Image.Image] = []
    for text, ref in prompt.segments():
        content.append(text)
        if ref is not None:
            content.append(PICTURES[ref])
    state = reference(model).last_state(prompt.system, content, plain_positions=plain_positions)
    return state / np.linalg.norm(state)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", CONTENTS)
async def test_a_vector_is_the_last_state_that_transformers_has(
    client: EngineClient, model: str, kind: str
) -> None:
    prompt = lamra.render_embedding(CONTENTS[kind])
    told = (await client.embed(request(model, prompt))).vector
    assert np.linalg.norm(told) == pytest.approx(1.0, abs=1e-3)
    assert np.dot(told, last_state(model, prompt)) >= 0.999


async def test_contents_and_models_are_told_apart(client: EngineClient) -> None:
    """Else the test above would prove nothing."""
    vectors = [
        (await client.embed(request(model, lamra.render_embedding(content)))).vector
        for model in MODELS
        for content in CONTENTS.values()
    ]
    cosines = np.array(vectors) @ np.array(vectors).T
    assert (cosines - np.eye(len(vectors))).max() < 0.9985


@pytest.mark.parametrize("model", MODELS)
async def test_pictures_have_positions_in_two_dimensions(client: EngineClient, model: str) -> None:
    """As Qwen2-VL's M-RoPE gives them; without it the same prompt has another vector."""
    prompt = lamra.render_embedding(CONTENTS["a fragment"])
    told = (await client.embed(request(model, prompt))).vector
    right = last_state(model, prompt)
    wrong = last_state(model, prompt, plain_positions=True)
    assert np.dot(told, right) > np.dot(told, wrong)
    assert 1 - np.dot(right, wrong) > 2 * (1 - np.dot(told, right))


async def test_base_and_adapter_in_one_batch_embed_as_alone(client: EngineClient) -> None:
    prompts = [lamra.render_embedding(content) for content in CONTENTS.values()]
    asked = [request(model, prompt) for prompt in prompts for model in MODELS]
    alone = [(await client.embed(one)).vector for one in asked]
    for _ in range(3):
        together = await asyncio.gather(*(client.embed(one) for one in asked * 2))
        for told, expected in zip(together, alone * 2, strict=True):
            assert np.dot(told.vector, expected) >= 0.999
    apart = [np.dot(base, adapter) for base, adapter in zip(alone[::2], alone[1::2], strict=True)]
    assert max(apart) < 0.99, "the models must differ to prove anything"


async def test_it_says_how_many_tokens_it_read_and_counts_them_before(
    client: EngineClient,
) -> None:
    for content in CONTENTS.values():
        asked = request(starter.EMBED, lamra.render_embedding(content))
        assert (await client.embed(asked)).prompt_tokens == await client.count_tokens(asked)


async def test_a_prompt_that_is_too_long_is_told_from_other_failures(client: EngineClient) -> None:
    prompt = lamra.render_embedding(["word " * 5_000])
    with pytest.raises(PromptTooLong):
        await client.embed(request(starter.BASE, prompt))


async def test_a_prompt_that_fills_the_context_but_a_token_is_embedded(
    client: EngineClient,
) -> None:
    # One more, and vLLM 0.31 never answers: the retriever embeds such a text in parts.
    def asked(words: int) -> GenerationRequest:
        return request(starter.BASE, lamra.render_embedding(["word " * words]))

    few, more = await client.count_tokens(asked(100)), await client.count_tokens(asked(200))
    words = 100 + int((4_095 - few) / ((more - few) / 100))
    while await client.count_tokens(asked(words)) > 4_095:
        words -= 1
    assert (await client.embed(asked(words))).prompt_tokens > 4_080
    with pytest.raises(PromptTooLong):
        await client.embed(asked(words + 20))


async def test_a_ping_proves_that_it_embeds(client: EngineClient) -> None:
    await client.ping(starter.BASE)
    with pytest.raises(ModelMissing):
        await client.ping("nobody@1")


async def test_an_engine_that_writes_does_not_pass_for_one_that_embeds(
    engine: LiveEngine,
) -> None:
    async with EngineClient(engine.address, capabilities=Capabilities(), pools=True) as writer:
        with pytest.raises(ServiceError):
            await writer.ping(starter.BASE)
