import asyncio
import time

import pytest

from colloquy.servicekit.problems import DeadlineExceeded, Overloaded, UpstreamFailed
from services.reranker.admission import Admission
from services.reranker.in_time import done_in_time


def test_requests_are_admitted_whole_or_not_at_all() -> None:
    admission = Admission(10)
    with admission.take(6):
        with pytest.raises(Overloaded), admission.take(5):
            raise AssertionError
        with admission.take(4):
            pass
    with admission.take(10):
        pass


def test_a_request_larger_than_the_queue_waits_for_nobody_else() -> None:
    admission = Admission(3)
    with admission.take(8), pytest.raises(Overloaded), admission.take(1):
        raise AssertionError
    with admission.take(3):
        pass


async def test_work_is_done_in_its_order_and_bounded() -> None:
    running, most, began = 0, 0, []

    def work(number: int):
        async def one() -> int:
            nonlocal running, most
            began.append(number)
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.001)
            running -= 1
            return number * number

        return one

    found = await done_in_time([work(n) for n in range(20)], at_once=3, left_s=None)
    assert found == [n * n for n in range(20)]
    assert began == list(range(20))
    assert most == 3


async def test_what_is_not_done_in_time_is_left_and_ended() -> None:
    ended = []

    def work(number: int):
        async def one() -> int:
            try:
                await asyncio.sleep(60 if number % 2 else 0)
            except asyncio.CancelledError:
                ended.append(number)
                raise
            return number

        return one

    started = time.monotonic()
    found = await done_in_time([work(n) for n in range(4)], at_once=2, left_s=0.05)
    assert time.monotonic() - started < 5
    assert found == [0, None, 2, None]
    assert sorted(ended) == [1, 3]


async def test_late_work_is_missing_and_broken_work_fails_everything() -> None:
    async def late() -> int:
        raise DeadlineExceeded

    async def broken() -> int:
        raise UpstreamFailed("broken")

    async def good() -> int:
        return 1

    assert await done_in_time([good, late, good], at_once=1, left_s=None) == [1, None, None]
    with pytest.raises(UpstreamFailed):
        await done_in_time([good, broken, good], at_once=2, left_s=None)


async def test_nothing_to_do_is_done_at_once() -> None:
    assert await done_in_time([], at_once=4, left_s=None) == []
