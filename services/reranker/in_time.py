"""Many small pieces of work within one deadline: what is done counts, the rest is left."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from colloquy.servicekit.problems import DeadlineExceeded

Result = TypeVar("Result")


async def done_in_time(
    work: Sequence[Callable[[], Awaitable[Result]]], *, at_once: int, left_s: float | None
) -> list[Result | None]:
    """Runs `work` in its order, at most `at_once` together; None where no time was left.

    Args:
        left_s: seconds after which nothing is waited for; None waits for everything.

    Raises:
        The first failure, which ends the rest; but for `DeadlineExceeded`.
    """
    results: list[Result | None] = [None] * len(work)
    waiting = iter(enumerate(work))

    async def worker() -> None:
        for place, one in waiting:
            try:
                results[place] = await one()
            except DeadlineExceeded:
                return  # there is no time for the next one either

    workers = [asyncio.create_task(worker()) for _ in range(min(at_once, len(work)))]
    if not workers:
        return results
    try:
        done, _ = await asyncio.wait(workers, timeout=left_s, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for one in workers:
            one.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    for one in done:
        one.result()
    return results
