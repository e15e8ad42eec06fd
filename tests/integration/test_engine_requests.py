"""What the client relies on, asked of a real vLLM."""

import asyncio
import time

import pytest

from colloquy.engine.client import EngineClient
from colloquy.engine.failures import ModelMissing, PromptTooLong
from colloquy.engine.requests import EngineImage, GenerationRequest
from colloquy.protocols import f2rvlm
from tests import starter
from tests.integration.questions import ENDLESS, content_of, picture, png, request, turns

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


@pytest.mark.parametrize("model", [starter.BASE, starter.FRAGMENT])
@pytest.mark.parametrize("first", [0, 37])
async def test_the_grammar_admits_only_ids_that_exist(
    client: EngineClient, adapters: list[str], model: str, first: int
) -> None:
    dialogue, pictures = turns(first + 9)
    part = f2rvlm.Slice(tuple(dialogue[first:]), 0)
    prompt = f2rvlm.render_fragment(part.turns, "which one")
    grammar = f2rvlm.fragment_grammar(part.utterance_ids, part.image_count)

    asked = request(
        model, prompt.system, content_of(prompt, pictures), grammar=grammar, max_tokens=200
    )
    free = GenerationRequest(
        asked.model, asked.system, asked.content, "acme", 200, grammar, temperature=1.0
    )
    told = await asyncio.gather(*(client.generate(free) for _ in range(6)), client.generate(asked))

    for generation in told:
        assert generation.complete
        answer = f2rvlm.parse_answer(generation.text)
        assert set(answer.utterance_ids) <= set(part.utterance_ids)
        assert set(answer.image_ids) <= set(range(part.image_count))
        assert list(answer.utterance_ids) == sorted(set(answer.utterance_ids))


@pytest.mark.parametrize("model", [starter.BASE, starter.SPLIT])
async def test_the_grammar_makes_every_split_a_partition(
    client: EngineClient, adapters: list[str], model: str
) -> None:
    dialogue, pictures = turns(14)
    prompt = f2rvlm.render_split(dialogue)
    ids = [turn.id for turn in dialogue]

    generation = await client.generate(
        request(
            model,
            prompt.system,
            content_of(prompt, pictures),
            grammar=f2rvlm.split_grammar(ids),
            max_tokens=200,
        )
    )

    told = f2rvlm.parse_split(generation.text)
    assert f2rvlm.is_partition(f2rvlm.with_tail(told, ids), ids)


async def test_a_picture_is_answered_for_by_its_bytes_whatever_was_sent_before(
    client: EngineClient,
) -> None:
    """The engine believes a picture's name, so two pictures must never share one."""
    tokens = list(range(100, 220))

    def about(seed: int, tenant: str) -> GenerationRequest:
        content = ["look: ", picture(seed, (168, 112)), " what is it?"]
        return request(starter.BASE, "s", content, tenant=tenant)

    async with EngineClient(client.address, capabilities=client.capabilities) as fresh:
        expected = [
            await fresh.first_token_probabilities(about(seed, "first"), tokens) for seed in (3, 90)
        ]
    assert expected[0] != pytest.approx(expected[1], abs=1e-4), "the pictures must differ"

    for tenant in ("second", "third"):
        for _ in range(2):  # the second time by name alone
            for seed, known in zip((3, 90), expected, strict=True):
                told = await client.first_token_probabilities(about(seed, tenant), tokens)
                assert told == pytest.approx(known, abs=0.01)


async def test_the_engine_takes_a_known_picture_by_name_and_asks_for_a_forgotten_one(
    client: EngineClient,
) -> None:
    content: list[str | EngineImage] = ["what? ", EngineImage(png(picture(5)), "image/png")]
    asked = GenerationRequest(starter.BASE, "s", content, "acme", 4)
    first = await client.generate(asked)

    async with EngineClient(client.address, capabilities=client.capabilities) as hopeful:
        # It believes that the engine knows a picture that nobody ever sent.
        unknown = EngineImage(png(picture(77, (60, 60))), "image/png")
        hopeful._pictures.learn([unknown.cache_key("acme")])
        told = await hopeful.generate(GenerationRequest(starter.BASE, "s", [unknown], "acme", 4))

    assert (await client.generate(asked)).text == first.text
    assert told.prompt_tokens > 0


async def test_a_cancelled_call_frees_the_engine(client: EngineClient) -> None:
    endless = request(starter.BASE, "s", ["go on"], grammar=ENDLESS, max_tokens=3_000)
    call = asyncio.create_task(client.generate(endless))
    await until(client, running=1)

    call.cancel()

    assert await until(client, running=0) < 5


async def until(client: EngineClient, *, running: int) -> float:
    started = time.monotonic()
    while (await client.counters())["vllm:num_requests_running"] != running:
        assert time.monotonic() - started < 60
        await asyncio.sleep(0.05)
    return time.monotonic() - started


async def test_an_answer_that_the_limit_cut_is_not_complete(client: EngineClient) -> None:
    answer = await client.generate(request(starter.BASE, "s", ["x"], grammar=ENDLESS, max_tokens=5))

    assert not answer.complete
    assert answer.output_tokens == 5


async def test_a_prompt_longer_than_the_context_is_refused_as_such(client: EngineClient) -> None:
    with pytest.raises(PromptTooLong):
        await client.generate(request(starter.BASE, "s", ["1 2 3 " * 4_000]))


async def test_an_unknown_model_is_missing_and_never_the_base(client: EngineClient) -> None:
    with pytest.raises(ModelMissing):
        await client.generate(request("fragment@99", "s", ["x"]))


async def test_the_prefix_is_cached_for_its_tenant_alone(client: EngineClient) -> None:
    dialogue, _ = turns(60, every=1_000)
    prompt = f2rvlm.render_split(dialogue)

    def ask(tenant: str) -> GenerationRequest:
        return request(starter.BASE, prompt.system, [prompt.user], tenant=tenant, max_tokens=1)

    await client.generate(ask("alpha"))

    assert (await client.generate(ask("alpha"))).cached_tokens >= 128
    assert (await client.generate(ask("beta"))).cached_tokens == 0


async def test_the_probe_is_answered(client: EngineClient, adapters: list[str]) -> None:
    for model in (starter.BASE, *adapters):
        await client.ping(model)
