"""Waiting for an engine, and being sent away meanwhile."""

import asyncio
import gc
from typing import Any, cast

import pytest

from colloquy.engine.serving.served import ServedEngine
from colloquy.servicekit.problems import DeadlineExceeded


class NeverDown:
    """A watch over an engine that lives for ever."""

    async def until_down(self) -> None:
        await asyncio.Event().wait()


def engine() -> ServedEngine:
    nothing = cast(Any, None)
    return ServedEngine(
        "e", nothing, nothing, queue=nothing, adapters=nothing, watch=cast(Any, NeverDown())
    )


async def test_a_call_that_fails_just_when_its_caller_leaves_leaves_nothing_unheard() -> None:
    unheard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    begun = asyncio.Event()

    async def call() -> None:
        begun.set()
        await asyncio.sleep(0)
        raise DeadlineExceeded

    for turns in range(5):  # of the loop, between the beginning and the leaving
        begun.clear()
        waiting = asyncio.create_task(engine().unless_it_goes_down(call()))
        await begun.wait()
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    del waiting
    gc.collect()
    assert unheard == []


async def test_who_is_cancelled_is_cancelled_even_where_the_call_ends_otherwise() -> None:
    async def call() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise DeadlineExceeded from None

    waiting = asyncio.create_task(engine().unless_it_goes_down(call()))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
