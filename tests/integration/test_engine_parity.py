"""The engine computes what transformers computes on the same weights."""

import asyncio
import itertools
from pathlib import Path

import pytest

from colloquy.engine.client import EngineClient
from colloquy.protocols import f2rvlm
from tests import starter
from tests.integration.questions import ENDLESS, content_of, request, turns, world
from tests.integration.reference import Reference

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
MODELS = [starter.BASE, starter.FRAGMENT, starter.SPLIT]
MOST_PROMPTS = 16
# Two steps of a bfloat16 logit between 16 and 32: below it the order of sums decides who wins.
TIE = {"bfloat16": 0.25, "float32": 0.001}
CLOSE = {"bfloat16": 0.01, "float32": 0.0001}


@pytest.fixture(scope="module")
def references(registry: Path, engine_dtype: str) -> dict[str, Reference]:
    base = registry / "base" / starter.VERSION
    return {
        starter.BASE: Reference(base, dtype=engine_dtype),
        starter.FRAGMENT: Reference(
            base, registry / "fragment" / starter.VERSION, dtype=engine_dtype
        ),
        starter.SPLIT: Reference(base, registry / "split" / starter.VERSION, dtype=engine_dtype),
    }


@pytest.mark.parametrize("model", MODELS)
async def test_greedy_text_is_that_of_transformers(
    client: EngineClient,
    adapters: list[str],
    references: dict[str, Reference],
    model: str,
    engine_dtype: str,
) -> None:
    compared = 0
    for number in range(MOST_PROMPTS):
        prompt, pictures = world(model.partition("@")[0], number)
        content = content_of(prompt, pictures)
        expected, margin = references[model].greedy(prompt.system, content, 48)
        if margin < TIE[engine_dtype]:
            continue
        answer = await client.generate(request(model, prompt.system, content, max_tokens=48))
        assert answer.text == expected
        compared += 1
        if compared == 4:
            break
    assert compared >= 2, "too few prompts are answered without a tie"


@pytest.mark.parametrize("model", MODELS)
async def test_first_token_probabilities_are_those_of_transformers(
    client: EngineClient,
    adapters: list[str],
    references: dict[str, Reference],
    model: str,
    engine_dtype: str,
) -> None:
    prompt, pictures = world(model.partition("@")[0], 3)
    content = content_of(prompt, pictures)
    tokens = [token for word in ("Yes", "No") for token in await client.token_ids(model, word)]
    assert len(tokens) == 2

    asked = request(model, prompt.system, content)
    probabilities = await client.first_token_probabilities(asked, tokens)

    expected = references[model].first_token(prompt.system, content, tokens)
    assert probabilities == pytest.approx(expected, abs=CLOSE[engine_dtype])
    assert sum(probabilities) == pytest.approx(1.0, abs=1e-9)


async def test_probabilities_of_many_labels_sum_to_one(
    client: EngineClient, references: dict[str, Reference], engine_dtype: str
) -> None:
    tokens = list(range(100, 160))  # more than `top_logprobs` gives

    probabilities = await client.first_token_probabilities(
        request(starter.BASE, "s", ["which one?"]), tokens
    )

    assert sum(probabilities) == pytest.approx(1.0, abs=1e-9)
    expected = references[starter.BASE].first_token("s", ["which one?"], tokens)
    assert probabilities == pytest.approx(expected, abs=CLOSE[engine_dtype])


async def test_base_and_adapters_in_one_batch_answer_as_alone(
    client: EngineClient, adapters: list[str]
) -> None:
    prompt, pictures = world("fragment", 4)
    content = content_of(prompt, pictures)
    tokens = list(range(200, 240))

    async def first_token(model: str) -> list[float]:
        asked = request(model, prompt.system, content)
        return await client.first_token_probabilities(asked, tokens)

    alone = {model: await first_token(model) for model in MODELS}
    apart = min(distance(alone[a], alone[b]) for a, b in itertools.combinations(MODELS, 2))
    assert apart > 0.005, "the models must differ to prove anything"

    # Long answers beside them keep all three in every batch.
    long = [
        asyncio.create_task(
            client.generate(request(model, prompt.system, content, max_tokens=60, grammar=ENDLESS))
        )
        for model in MODELS
    ]
    together = await asyncio.gather(*(first_token(model) for model in MODELS * 4))
    await asyncio.gather(*long)

    for model, told in zip(MODELS * 4, together, strict=True):
        assert distance(told, alone[model]) < apart / 2


def distance(one: list[float], other: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


async def test_counts_the_tokens_that_the_prompt_has(
    client: EngineClient, references: dict[str, Reference]
) -> None:
    dialogue, pictures = turns(9)
    prompt = f2rvlm.render_split(dialogue)
    content = content_of(prompt, pictures)
    asked = request(starter.BASE, prompt.system, content, max_tokens=1)

    counted = await client.count_tokens(asked)

    assert counted == (await client.generate(asked)).prompt_tokens
    assert counted == references[starter.BASE].count(prompt.system, content)
