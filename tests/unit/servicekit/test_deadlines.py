import asyncio
import time

import pytest

from colloquy.servicekit.deadlines import Deadline, current_deadline, start_deadline
from colloquy.servicekit.problems import DeadlineExceeded


async def test_work_inside_ends_when_the_time_is_up() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        async with start_deadline(30):
            try:
                await asyncio.sleep(5)
            finally:
                ended.set()

    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await work()

    assert ended.is_set()
    assert time.monotonic() - started < 3


async def test_an_inner_deadline_never_gives_more_time() -> None:
    async with start_deadline(50) as outer, start_deadline(60_000) as inner:
        assert inner == outer


async def test_an_inner_deadline_may_give_less() -> None:
    async with start_deadline(60_000):
        async with start_deadline(50):
            assert current_deadline().left_ms() <= 50
        assert current_deadline().left_ms() > 1_000


async def test_there_is_none_outside() -> None:
    async with start_deadline(50):
        pass

    assert current_deadline() is None


async def test_a_timeout_of_something_else_stays_one() -> None:
    with pytest.raises(TimeoutError):
        async with start_deadline(60_000):
            raise TimeoutError


async def test_one_that_is_over_ends_the_work_at_its_first_wait() -> None:
    with pytest.raises(DeadlineExceeded):
        async with start_deadline(0):
            await asyncio.sleep(1)


async def test_a_cancel_from_outside_is_not_taken_for_the_deadline() -> None:
    async def work() -> None:
        async with start_deadline(60_000):
            await asyncio.sleep(5)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


def test_time_left_is_never_negative() -> None:
    over = Deadline.after_ms(-5_000)

    assert (over.left_s(), over.left_ms(), over.expired) == (0, 0, True)
