import asyncio

import pytest

from colloquy.engine.queue import EngineQueue
from colloquy.servicekit.problems import Overloaded


async def hold(queue: EngineQueue, entered: list[str], name: str, leave: asyncio.Event) -> None:
    async with queue.slot():
        entered.append(name)
        await leave.wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_leaves_one_place_of_the_engine_to_the_probe() -> None:
    queue, entered, leave = EngineQueue(3, 10), list[str](), asyncio.Event()
    tasks = [asyncio.create_task(hold(queue, entered, str(n), leave)) for n in range(4)]
    await settle()

    assert (queue.running, queue.waiting) == (2, 2)

    leave.set()
    await asyncio.gather(*tasks)
    assert (queue.running, queue.waiting) == (0, 0)


async def test_serves_in_order_of_arrival() -> None:
    queue, entered = EngineQueue(2, 10), list[str]()
    doors = [asyncio.Event() for _ in range(5)]
    tasks = [
        asyncio.create_task(hold(queue, entered, str(n), door)) for n, door in enumerate(doors)
    ]
    for door in doors:
        await settle()
        door.set()
    await asyncio.gather(*tasks)

    assert entered == ["0", "1", "2", "3", "4"]


async def test_a_newcomer_does_not_overtake_who_waits() -> None:
    queue, entered = EngineQueue(2, 10), list[str]()
    first, others = asyncio.Event(), asyncio.Event()
    tasks = [
        asyncio.create_task(hold(queue, entered, "first", first)),
        asyncio.create_task(hold(queue, entered, "waits", others)),
    ]
    await settle()
    first.set()
    await settle()
    tasks.append(asyncio.create_task(hold(queue, entered, "new", others)))
    await settle()
    assert entered == ["first", "waits"]

    others.set()
    await asyncio.gather(*tasks)


async def test_refuses_more_than_may_wait_and_says_when_to_come_back() -> None:
    queue, entered, leave = EngineQueue(2, 1), list[str](), asyncio.Event()
    tasks = [asyncio.create_task(hold(queue, entered, str(n), leave)) for n in range(2)]
    await settle()

    with pytest.raises(Overloaded) as refused:
        async with queue.slot():
            pass
    assert refused.value.retry_after_s is not None
    assert refused.value.retry_after_s >= 1

    leave.set()
    await asyncio.gather(*tasks)


async def test_who_is_cancelled_while_waiting_leaves_the_queue() -> None:
    queue, entered, leave = EngineQueue(2, 2), list[str](), asyncio.Event()
    tasks = [asyncio.create_task(hold(queue, entered, str(n), leave)) for n in range(3)]
    await settle()
    tasks[1].cancel()
    await settle()
    assert queue.waiting == 1

    leave.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert entered == ["0", "2"]
    assert (queue.running, queue.waiting) == (0, 0)


async def test_a_place_given_to_somebody_who_just_left_goes_to_the_next() -> None:
    queue, entered = EngineQueue(2, 5), list[str]()
    first, others = asyncio.Event(), asyncio.Event()
    tasks = [
        asyncio.create_task(hold(queue, entered, "first", first)),
        asyncio.create_task(hold(queue, entered, "leaves", others)),
        asyncio.create_task(hold(queue, entered, "next", others)),
    ]
    await settle()
    first.set()
    await asyncio.sleep(0)  # the place is on its way to `leaves`
    tasks[1].cancel()
    await settle()
    assert "next" in entered

    others.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (queue.running, queue.waiting) == (0, 0)


async def test_retry_after_grows_with_the_backlog() -> None:
    queue, entered, leave = EngineQueue(2, 40), list[str](), asyncio.Event()
    idle = queue.retry_after_s
    tasks = [asyncio.create_task(hold(queue, entered, str(n), leave)) for n in range(30)]
    await settle()

    assert queue.retry_after_s > idle

    leave.set()
    await asyncio.gather(*tasks)
