"""Scores that are known, and questions that are under way: no question is put twice at once."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum
from typing import Any

from colloquy.contracts.generation import Usage
from colloquy.servicekit.problems import DeadlineExceeded


@dataclass(frozen=True, slots=True)
class Score:
    """One answer: P(Yes) alone, or the probability of each number of a list.

    Attributes:
        trimmed: something was left out of the prompt.
    """

    values: tuple[float, ...]
    trimmed: bool


@dataclass(frozen=True, slots=True)
class Told:
    """A score, and what it cost the engine."""

    score: Score
    usage: Usage


class Source(Enum):
    ASKED = "asked"
    SHARED = "shared"
    CACHED = "cached"


Ask = Callable[[], Coroutine[Any, Any, Told]]


@dataclass(eq=False, slots=True)
class _Flight:
    task: "asyncio.Task[Told]"
    waiting: int = 0


class ScoreCache:
    """The scores asked last, at most `most` of them. A key names tenant, model and question."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[bytes, Score] = OrderedDict()
        self._flights: dict[bytes, _Flight] = {}

    def known(self, key: bytes) -> Score | None:
        score = self._known.get(key)
        if score is not None:
            self._known.move_to_end(key)
        return score

    async def find(self, key: bytes, ask: Ask) -> tuple[Told, Source]:
        """The score of `key`: known, or asked for, or waited for where somebody asks already.

        A question lives while anybody waits for it: who began it may leave. One that ended for
        want of *their* time is put again by who has more.

        Raises:
            As `ask`.
        """
        while True:
            if (score := self.known(key)) is not None:
                return Told(score, Usage()), Source.CACHED
            flight, ours = self._flights.get(key), False
            if flight is None:
                flight, ours = self._begin(key, ask), True
            flight.waiting += 1
            try:
                await asyncio.wait({flight.task})
            finally:
                flight.waiting -= 1
                if not flight.waiting:
                    flight.task.cancel()
                    self._forget(key, flight)
            gave_up = flight.task.cancelled() or isinstance(
                flight.task.exception(), DeadlineExceeded
            )
            if ours or not gave_up:
                told = flight.task.result()
                return (told, Source.ASKED) if ours else (told, Source.SHARED)

    def _begin(self, key: bytes, ask: Ask) -> _Flight:
        flight = self._flights[key] = _Flight(asyncio.create_task(ask()))

        def landed(task: "asyncio.Task[Told]") -> None:
            self._forget(key, flight)
            if not task.cancelled() and task.exception() is None:
                self._keep(key, task.result().score)

        flight.task.add_done_callback(landed)
        return flight

    def _forget(self, key: bytes, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    def _keep(self, key: bytes, score: Score) -> None:
        self._known[key] = score
        self._known.move_to_end(key)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
