"""Calls to a Qdrant server: its failures in our words."""

import asyncio

import httpx
import pytest
from pydantic import ValidationError
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from colloquy.servicekit.deadlines import start_deadline
from colloquy.servicekit.problems import (
    CollectionMissing,
    DeadlineExceeded,
    ServiceError,
    Unavailable,
    UpstreamFailed,
)
from services.retriever.vector_store_calls import ServerCalls
from services.retriever.vector_stores import StoreSettings


def answer(status: int) -> UnexpectedResponse:
    return UnexpectedResponse(status, "", b"secret words of the server", httpx.Headers())


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (answer(404), CollectionMissing),
        (answer(400), UpstreamFailed),
        (answer(403), UpstreamFailed),
        (answer(408), DeadlineExceeded),
        (answer(429), Unavailable),
        (answer(500), Unavailable),
        (answer(503), Unavailable),
        (ResponseHandlingException(httpx.ConnectError("no route")), Unavailable),
        (ResourceExhaustedResponse("wait", 7), Unavailable),
    ],
)
async def test_a_failure_of_the_server_becomes_one_of_ours(
    raised: Exception, kind: type[ServiceError]
) -> None:
    async def fail(seconds: int) -> None:
        raise raised

    with pytest.raises(kind) as caught:
        await ServerCalls(1.0).call(fail)

    assert type(caught.value) is kind
    assert "secret" not in caught.value.detail


async def test_the_server_says_when_to_try_again() -> None:
    async def fail(seconds: int) -> None:
        raise ResourceExhaustedResponse("wait", 7)

    with pytest.raises(Unavailable) as caught:
        await ServerCalls(1.0).call(fail)

    assert caught.value.retry_after_s == 7


async def test_a_server_that_is_not_there_is_a_red_check_until_it_answers() -> None:
    async def fail(seconds: int) -> None:
        raise ResponseHandlingException(httpx.ConnectError("no route"))

    async def succeed(seconds: int) -> str:
        return "done"

    calls = ServerCalls(1.0)
    assert calls.trouble is None
    with pytest.raises(Unavailable):
        await calls.call(fail)
    assert calls.trouble
    assert await calls.call(succeed) == "done"
    assert calls.trouble is None


async def test_a_call_ends_with_the_deadline_and_tells_the_server() -> None:
    told = []

    async def never(seconds: int) -> None:
        told.append(seconds)
        await asyncio.sleep(60)

    with pytest.raises(DeadlineExceeded):
        async with start_deadline(50):
            await ServerCalls(60.0).call(never)
    with pytest.raises(DeadlineExceeded):
        await ServerCalls(0.05).call(never)

    assert told == [1, 1]  # the least that can be said


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "server"},
        {"kind": "edge", "url": "http://vectors:6333"},
        {"kind": "server", "url": "vectors:6333"},
        {"kind": "other"},
        {"edge": {"folder": "../elsewhere"}},
        {"edge": {"search_ef": 0}},
        {"server": {"quantisation": "some"}},
        {"surprise": 1},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        StoreSettings.model_validate(wrong)
