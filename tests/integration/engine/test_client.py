import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from colloquy.engine.client import EngineClient
from colloquy.engine.failures import ModelMissing, PromptTooLong
from colloquy.engine.requests import EngineImage, GenerationRequest
from colloquy.profile import Capabilities, OpenAIEngine
from colloquy.servicekit.deadlines import start_deadline
from colloquy.servicekit.problems import (
    DeadlineExceeded,
    Overloaded,
    ServiceError,
    Unavailable,
    UpstreamFailed,
)
from tests.doubles.engine import EngineDouble, serve_engine
from tests.doubles.engine_parts import BASE

pytestmark = pytest.mark.integration
RED = EngineImage(b"red", "image/png")
FOREIGN = OpenAIEngine(runtime="openai", url="http://x", model="m").capabilities


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, EngineDouble]]:
    with serve_engine() as pair:
        yield pair


@pytest.fixture
async def client(served: tuple[str, EngineDouble]) -> AsyncIterator[EngineClient]:
    double = served[1]
    double.fails, double.answers, double.finish_reason = None, lambda _: "said", "stop"
    double.asked.clear()
    double.restart()
    async with EngineClient(served[0], capabilities=Capabilities()) as client:
        yield client


def ask(*content: str | EngineImage, tenant: str = "acme", grammar: str | None = None):  # type: ignore[no-untyped-def]
    return GenerationRequest(BASE, "system", content, tenant, 8, grammar)


async def test_reads_answer_and_usage(client: EngineClient) -> None:
    answer = await client.generate(ask("hi"))

    assert (answer.text, answer.complete) == ("said", True)
    assert (answer.prompt_tokens, answer.cached_tokens, answer.output_tokens) == (100, 64, 7)


async def test_text_and_pictures_keep_their_order(
    client: EngineClient, served: tuple[str, EngineDouble]
) -> None:
    await client.generate(ask("before ", RED, " after"))

    system, user = served[1].asked[-1]["messages"]
    assert system == {"role": "system", "content": "system"}
    assert [part["type"] for part in user["content"]] == ["text", "image_url", "text"]
    assert user["content"][1]["image_url"]["url"] == "data:image/png;base64,cmVk"


async def test_a_picture_goes_by_name_the_second_time(
    client: EngineClient, served: tuple[str, EngineDouble]
) -> None:
    await client.generate(ask(RED))
    await client.generate(ask(RED))

    assert served[1].asked[-1]["messages"][1]["content"][0]["image_url"] is None


async def test_a_forgotten_picture_is_sent_again(
    client: EngineClient, served: tuple[str, EngineDouble]
) -> None:
    await client.generate(ask(RED))
    served[1].forget_pictures()

    assert (await client.generate(ask(RED))).text == "said"
    assert served[1].asked[-1]["messages"][1]["content"][0]["image_url"] is not None


async def test_an_engine_that_loses_what_it_was_just_sent_is_named_as_the_cause(
    client: EngineClient, served: tuple[str, EngineDouble]
) -> None:
    served[1].fails = (400, "Cache miss for image at index 0 but data is not provided.")
    with pytest.raises(UpstreamFailed, match="loses pictures"):
        await client.generate(ask(RED))


@pytest.mark.parametrize(
    "other",
    [(EngineImage(b"blue", "image/png"), "acme"), (RED, "globex")],
    ids=["other bytes", "another tenant"],
)
async def test_the_name_of_a_picture_is_its_own(
    client: EngineClient, served: tuple[str, EngineDouble], other: tuple[EngineImage, str]
) -> None:
    await client.generate(ask(RED))
    await client.generate(ask(other[0], tenant=other[1]))

    first, second = (asked["messages"][1]["content"][0]["uuid"] for asked in served[1].asked[-2:])
    assert first != second


async def test_caches_are_kept_apart_by_tenant(
    client: EngineClient, served: tuple[str, EngineDouble]
) -> None:
    await client.generate(ask("hi", tenant="globex"))

    assert served[1].asked[-1]["cache_salt"] == "globex"


async def test_a_foreign_server_gets_plain_requests_and_the_key(
    served: tuple[str, EngineDouble],
) -> None:
    served[1].fails = None
    async with EngineClient(
        served[0] + "/v1", capabilities=FOREIGN, api_key=SecretStr("k")
    ) as client:
        await client.generate(ask("hi", RED))

    body = served[1].asked[-1]
    assert body.keys() == {"model", "messages", "max_tokens", "temperature"}
    assert body["messages"][1]["content"][1].keys() == {"type", "image_url"}


async def test_a_grammar_is_never_dropped_silently(served: tuple[str, EngineDouble]) -> None:
    async with EngineClient(served[0], capabilities=FOREIGN) as client:
        with pytest.raises(ValueError, match="grammar"):
            await client.generate(ask("hi", grammar='root ::= "x"'))


async def test_an_answer_that_was_cut_says_so(
    client: EngineClient, served: tuple[str, EngineDouble]
) -> None:
    served[1].finish_reason = "length"

    assert not (await client.generate(ask("hi"))).complete


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (500, "EngineCore encountered an issue. See stack trace (above).", Unavailable),
        (503, "", Unavailable),
        (500, "Internal server error", UpstreamFailed),
        (400, "This model's maximum context length is 4096 tokens.", PromptTooLong),
        (400, "Out of range float values are not JSON compliant", UpstreamFailed),
        (401, "bad key", UpstreamFailed),
        (429, "slow down", Overloaded),
    ],
)
async def test_every_refusal_becomes_a_failure_of_ours(
    client: EngineClient,
    served: tuple[str, EngineDouble],
    status: int,
    message: str,
    expected: type[ServiceError],
) -> None:
    served[1].fails = (status, message)

    with pytest.raises(expected) as failure:
        await client.generate(ask("hi"))
    assert message not in str(failure.value) or not message


async def test_an_adapter_that_is_not_loaded_is_never_answered_by_the_base(
    client: EngineClient,
) -> None:
    with pytest.raises(ModelMissing):
        await client.generate(GenerationRequest("fragment@1", "", ["x"], "acme", 8))


async def test_an_engine_that_is_down_is_unavailable_and_says_for_how_long(
    tmp_path: Path,
) -> None:
    address = f"unix:{tmp_path / 'engine.sock'}"
    async with EngineClient(address, capabilities=Capabilities(), usual_start_s=40) as client:
        with pytest.raises(Unavailable) as failure:
            await client.generate(ask("hi"))

    assert failure.value.retry_after_s == 40
    assert str(tmp_path) not in failure.value.detail


async def test_no_call_outlives_its_deadline(
    client: EngineClient, served: tuple[str, EngineDouble]
) -> None:
    served[1].hold.set()
    started = time.monotonic()
    try:
        with pytest.raises(DeadlineExceeded):
            async with start_deadline(200):
                await client.generate(ask("hi"))
    finally:
        served[1].hold.clear()

    assert time.monotonic() - started < 2


async def test_a_cancelled_call_closes_its_connection(
    client: EngineClient, served: tuple[str, EngineDouble]
) -> None:
    before = served[1].cancelled
    served[1].hold.set()
    call = asyncio.create_task(client.generate(ask("hi")))
    await asyncio.sleep(0.2)
    call.cancel()
    try:
        for _ in range(100):
            if served[1].cancelled > before:
                break
            await asyncio.sleep(0.02)
    finally:
        served[1].hold.clear()

    assert served[1].cancelled == before + 1


async def test_a_probe_wants_the_known_answer(
    client: EngineClient, served: tuple[str, EngineDouble]
) -> None:
    await client.ping(BASE)

    served[1].fails = (500, "EngineCore is dead")
    with pytest.raises(Unavailable):
        await client.ping(BASE)


async def test_lists_models_and_what_they_stand_on(client: EngineClient) -> None:
    await client.load_adapter("fragment@1", "/models/fragment")

    listed = await client.models()

    assert [(model.name, model.parent) for model in listed] == [(BASE, None), ("fragment@1", BASE)]


async def test_sums_counters_over_their_labels(client: EngineClient) -> None:
    assert (await client.counters())["vllm:generation_tokens_total"] == 1.0
