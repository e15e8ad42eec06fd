"""What the generator thinks in: work that is shared, what was left out."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from colloquy.contracts.generation import Usage
from colloquy.engine.requests import Generation

TRIMMED = "utterance-trimmed"
IDS_DROPPED = "unknown-ids-dropped"
Result = TypeVar("Result")


def usage_of(generations: Sequence[Generation]) -> Usage:
    return Usage(
        model_calls=len(generations),
        prompt_tokens=sum(generation.prompt_tokens for generation in generations),
        cached_tokens=sum(generation.cached_tokens for generation in generations),
        output_tokens=sum(generation.output_tokens for generation in generations),
    )


async def all_or_first_failure(
    work: Sequence[Coroutine[Any, Any, Result]], *, at_once: int
) -> list[Result]:
    """Runs `work`, at most `at_once` together; the first failure cancels the rest and is raised."""
    places = asyncio.Semaphore(at_once)

    async def placed(one: Coroutine[Any, Any, Result]) -> Result:
        async with places:
            return await one

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(placed(one)) for one in work]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    finally:
        for one in work:  # what never got a place
            one.close()
    return [task.result() for task in tasks]
