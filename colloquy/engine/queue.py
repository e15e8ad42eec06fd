"""A bounded queue before an engine: first come, first served, and a refusal that says when."""

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from colloquy.servicekit.problems import Overloaded

_FIRST_GUESS_S = 1.0
_WEIGHT_OF_NEWEST = 0.2
_MAX_RETRY_AFTER_S = 60


class EngineQueue:
    """Admits as many requests as the engine computes at once, and lets a few more wait.

    One place of the engine is left to the readiness probe, which must not wait behind a backlog.

    Args:
        max_running: requests that the engine puts in one batch.
        max_waiting: requests that may wait; beyond it `slot` raises `Overloaded`.
    """

    def __init__(self, max_running: int, max_waiting: int) -> None:
        self._places = max(1, max_running - 1)
        self._max_waiting = max_waiting
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._service_s = _FIRST_GUESS_S

    @property
    def most(self) -> int:
        """Requests that it takes in together, those that run included."""
        return self._places + self._max_waiting

    @property
    def running(self) -> int:
        return self._running

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def retry_after_s(self) -> int:
        """When a place should be free, by how long recent requests took."""
        ahead = self._running + len(self._waiting)
        estimate = math.ceil(self._service_s * ahead / self._places)
        return min(_MAX_RETRY_AFTER_S, max(1, estimate))

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[float]:
        """Holds a place; yields the seconds it was waited for.

        Raises:
            Overloaded: too many are waiting already.
        """
        arrived = time.monotonic()
        await self._enter()
        started = time.monotonic()
        finished = False
        try:
            yield started - arrived
            finished = True
        finally:
            self._leave()
            if finished:  # a cancelled or failed request says nothing about the usual time
                newest = time.monotonic() - started
                self._service_s += _WEIGHT_OF_NEWEST * (newest - self._service_s)

    async def _enter(self) -> None:
        if self._running < self._places and not self._waiting:
            self._running += 1
            return
        if len(self._waiting) >= self._max_waiting:
            raise Overloaded(
                "too many requests wait for the engine", retry_after_s=self.retry_after_s
            )
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()  # the place came in the same moment: hand it on
            else:
                with suppress(ValueError):  # `_leave` may have stepped over it already
                    self._waiting.remove(turn)
            raise

    def _leave(self) -> None:
        # A place goes straight to the next in line, so nobody who arrives now overtakes.
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._running -= 1
