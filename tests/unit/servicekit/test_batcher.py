import asyncio
import threading
from collections.abc import Sequence

import pytest

from colloquy.servicekit.batcher import Batcher
from colloquy.servicekit.deadlines import start_deadline
from colloquy.servicekit.problems import DeadlineExceeded, Overloaded


class Doubler:
    """Doubles numbers; waits for `open` where it is closed, to let items queue."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.running = threading.Event()
        self.open = threading.Event()
        self.open.set()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.running.set()
        assert self.open.wait(5)
        if 13 in items:
            raise ArithmeticError("thirteen")
        return [2 * item for item in items]


def batcher(run: Doubler, **changes: int) -> Batcher[int, int]:
    limits = {"max_batch_cost": 100, "max_waiting": 50} | changes
    return Batcher(run, cost=lambda item: item, **limits)


async def test_results_come_back_in_order() -> None:
    async with batcher(Doubler()) as batches:
        assert await batches.submit([3, 1, 2]) == [6, 2, 4]


async def test_what_waits_while_a_batch_runs_is_one_batch() -> None:
    run = Doubler()
    run.open.clear()
    async with batcher(run) as batches:
        first = asyncio.create_task(batches.submit([1]))
        await asyncio.to_thread(run.running.wait, 5)
        others = [asyncio.create_task(batches.submit([n])) for n in (2, 3, 4)]
        await asyncio.sleep(0)
        run.open.set()
        await asyncio.gather(first, *others)

    assert run.batches == [[1], [2, 3, 4]]


async def test_a_batch_is_bounded_by_its_padded_cost() -> None:
    run = Doubler()
    async with batcher(run, max_batch_cost=30) as batches:
        await batches.submit([10, 10, 10, 11, 200, 1])

    assert run.batches == [[10, 10, 10], [11], [200], [1]]


async def test_a_call_that_does_not_fit_is_refused_whole() -> None:
    run = Doubler()
    async with batcher(run, max_waiting=2) as batches:
        with pytest.raises(Overloaded):
            await batches.submit([1, 2, 3])
        assert await batches.submit([1, 2]) == [2, 4]

    assert run.batches == [[1, 2]]


async def test_a_caller_who_left_costs_nothing() -> None:
    run = Doubler()
    run.open.clear()
    async with batcher(run) as batches:
        first = asyncio.create_task(batches.submit([1]))
        await asyncio.to_thread(run.running.wait, 5)
        gone = asyncio.create_task(batches.submit([2, 3]))
        stays = asyncio.create_task(batches.submit([4]))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        run.open.set()
        await asyncio.gather(first, stays)

    assert run.batches == [[1], [4]]


async def test_an_item_whose_deadline_passed_is_not_run() -> None:
    run = Doubler()
    run.open.clear()
    async with batcher(run) as batches:
        first = asyncio.create_task(batches.submit([1]))
        await asyncio.to_thread(run.running.wait, 5)
        with pytest.raises(DeadlineExceeded):
            async with start_deadline(10):
                await batches.submit([2])
        run.open.set()
        await first

    assert run.batches == [[1]]


async def test_a_batch_that_fails_fails_its_callers_and_nobody_else() -> None:
    async with batcher(Doubler()) as batches:
        with pytest.raises(ArithmeticError):
            await batches.submit([13])
        assert await batches.submit([5]) == [10]


async def test_a_run_that_forgets_a_result_is_an_error_not_a_hang() -> None:
    forgetful: Batcher[int, int] = Batcher(
        lambda items: list(items)[1:], cost=lambda _: 1, max_batch_cost=9, max_waiting=9
    )
    async with forgetful as batches:
        with pytest.raises(ValueError, match="zip"):
            await batches.submit([1, 2])
