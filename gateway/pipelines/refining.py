"""Refining candidates of a search by F2RVLM, as far as the time allows."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from colloquy.contracts.generation import FragmentTask
from colloquy.servicekit.deadlines import start_deadline
from colloquy.servicekit.problems import DeadlineExceeded, ServiceError
from gateway.generator import Generator
from gateway.pace import Pace
from gateway.pipelines import candidates as steps
from gateway.pipelines.asked import NOT_REFINED, Notes, Query
from gateway.pipelines.candidates import Kept, Ranked

_STEP = "refine"


@dataclass(frozen=True, slots=True)
class Wanted:
    """How much of a ranking is to be read.

    Attributes:
        given: candidates that would be answered without reading any.
        at_first: candidates that are read in any case.
        most: and never more than so many.
        dialogues: that the answer shall have; None where candidates stay apart, so that merging
            takes none away.
    """

    given: int
    at_first: int
    most: int
    dialogues: int | None

    def further(self, read: Sequence[Ranked], kept: Sequence[Kept]) -> int:
        """How many more to read: those whose places merging took. What F2RVLM dropped is not made
        up for, as a query that nothing answers would have everything read."""
        if self.dialogues is None:
            return 0
        answered = {one.ranked.fragment.dialogue_id for one in kept if not one.empty}
        if len(answered) >= self.dialogues:
            return 0
        dialogues = len({one.fragment.dialogue_id for one in read})
        return max(0, min(self.at_first - dialogues, self.most - len(read)))


class Refining:
    """Args:
    pace: shared by all searches.
    at_once: candidates of one search that are read at a time.
    """

    def __init__(self, generator: Generator, pace: Pace, at_once: int) -> None:
        self._generator = generator
        self._pace = pace
        self._at_once = at_once

    def expect_s(self, count: int) -> float:
        """Seconds that reading so many candidates will hardly exceed; 0 where nothing is known."""
        rounds = -(-count // self._at_once)
        return self._pace.expect_s(_STEP) * rounds

    async def refine(
        self, query: Query, ranked: Sequence[Ranked], wanted: Wanted, within_s: float, notes: Notes
    ) -> list[Kept]:
        """What F2RVLM names in each candidate that it reads.

        One that it did not read, because it failed or the time was up, stays as it is, if it is
        among those that would be given without refining.
        """
        # The published prompt has no place for a picture, so a query without text cannot be put.
        if query.text is None or self.expect_s(wanted.at_first) > within_s:
            notes.degrade(NOT_REFINED)
            return [steps.whole(one) for one in ranked[: wanted.given]]
        ends_s = time.monotonic() + within_s
        kept: list[Kept] = []
        start, end = 0, wanted.at_first
        while start < end:
            kept += await self._read_each(query, ranked, range(start, end), wanted, ends_s, notes)
            start, end = end, end + wanted.further(ranked[:end], kept)
            if self.expect_s(end - start) > ends_s - time.monotonic():
                break
        return kept

    async def _read_each(
        self,
        query: Query,
        ranked: Sequence[Ranked],
        places: range,
        wanted: Wanted,
        ends_s: float,
        notes: Notes,
    ) -> list[Kept]:
        room = asyncio.Semaphore(self._at_once)

        async def read(one: Ranked) -> Kept | None:
            async with room:
                return await self._read(query, one, ends_s - time.monotonic(), notes)

        answers = await asyncio.gather(*(read(ranked[place]) for place in places))
        kept = []
        for place, answer in zip(places, answers, strict=True):
            if answer is not None:
                kept.append(answer)
            elif place < wanted.given:
                kept.append(steps.whole(ranked[place]))
        return kept

    async def _read(self, query: Query, one: Ranked, within_s: float, notes: Notes) -> Kept | None:
        """What F2RVLM names in one candidate; None when it fails or the time is up."""
        assert query.text is not None
        task = FragmentTask(
            tenant=query.tenant, dialogue=steps.as_dialogue(one.fragment), query=query.text
        )
        began_s = time.monotonic()
        try:
            async with start_deadline(max(0.0, within_s) * 1_000):
                answer = await self._generator.fragment(task)
            kept = steps.named(one, answer)
        except ServiceError as error:
            notes.degrade(NOT_REFINED)
            if isinstance(error, DeadlineExceeded) and within_s > 0:
                self._pace.note(_STEP, within_s)  # it takes so long at least
            return None
        self._pace.note(_STEP, time.monotonic() - began_s)
        notes.models["fragment"] = answer.model
        notes.degrade(*answer.degraded)
        return kept
