"""Many small calls become few large ones, without a timer."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Generic, Self, TypeVar

from colloquy.servicekit.deadlines import Deadline, current_deadline
from colloquy.servicekit.problems import DeadlineExceeded, Overloaded, Unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True)
class _Entry(Generic[Item, Result]):
    item: Item
    cost: int
    answer: "asyncio.Future[Result]"
    deadline: Deadline | None = field(default_factory=current_deadline)


class Batcher(Generic[Item, Result]):
    """Collects items while one batch runs, and runs them as the next.

    An idle service adds no delay and a busy one fills its batches; nothing is tuned. Items whose
    caller left, or whose deadline passed, are dropped before they cost anything.

    Args:
        run: blocking, on one thread of its own; one result per item, in order.
        cost: the size of an item, in tokens for example.
        max_batch_cost: bound on items times the largest cost among them, which is what a padded
            batch really costs. A single item above it still runs, alone.
        max_waiting: items that may wait; a call that would exceed it is refused whole.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        cost: Callable[[Item], int],
        max_batch_cost: int,
        max_waiting: int,
    ) -> None:
        self._run = run
        self._cost = cost
        self._max_batch_cost = max_batch_cost
        self._max_waiting = max_waiting
        self._entries: deque[_Entry[Item, Result]] = deque()
        self._filled = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batcher")

    async def __aenter__(self) -> Self:
        self._worker = asyncio.create_task(self._work())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._worker is not None:
            self._worker.cancel()
            with suppress(asyncio.CancelledError):
                await self._worker
        for entry in self._entries:
            _refuse(entry, Unavailable("the service ends"))
        self._thread.shutdown(wait=False, cancel_futures=True)

    @property
    def waiting(self) -> int:
        return len(self._entries)

    async def submit(self, items: Sequence[Item]) -> list[Result]:
        """Every result, in order; all items are admitted or none.

        Raises:
            Overloaded: they would be more than may wait.
        """
        if len(self._entries) + len(items) > self._max_waiting:
            raise Overloaded
        loop = asyncio.get_running_loop()
        mine = [
            _Entry[Item, Result](item, self._cost(item), loop.create_future()) for item in items
        ]
        self._entries.extend(mine)
        self._filled.set()
        try:
            return list(await asyncio.gather(*(entry.answer for entry in mine)))
        finally:
            for entry in mine:  # one failed or the caller left: the others are not worth running
                entry.answer.cancel()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._filled.wait()
            batch = self._take()
            if not batch:
                self._filled.clear()
                continue
            items = [entry.item for entry in batch]
            try:
                results = await loop.run_in_executor(self._thread, self._run, items)
                answered = list(zip(batch, results, strict=True))
            except asyncio.CancelledError:
                for entry in batch:
                    _refuse(entry, Unavailable("the service ends"))
                raise
            except Exception as error:  # noqa: BLE001 - it belongs to the callers, not to the worker
                for entry in batch:
                    _refuse(entry, error)
                continue
            for entry, result in answered:
                if not entry.answer.done():
                    entry.answer.set_result(result)

    def _take(self) -> list[_Entry[Item, Result]]:
        """The longest run of waiting items that fits one batch."""
        batch: list[_Entry[Item, Result]] = []
        largest = 0
        while self._entries:
            entry = self._entries[0]
            if entry.answer.done():
                self._entries.popleft()
                continue
            if entry.deadline is not None and entry.deadline.expired:
                _refuse(self._entries.popleft(), DeadlineExceeded())
                continue
            largest = max(largest, entry.cost)
            if batch and largest * (len(batch) + 1) > self._max_batch_cost:
                break
            batch.append(self._entries.popleft())
        return batch


def _refuse(entry: _Entry[Item, Result], error: Exception) -> None:
    if not entry.answer.done():
        entry.answer.set_exception(error)
