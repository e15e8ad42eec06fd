"""Cutting a dialogue into the fragments that are searched."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

from colloquy.contracts.content import Dialogue
from colloquy.contracts.generation import SplitAnswer, SplitTask
from colloquy.servicekit.calls import ServiceClient
from colloquy.servicekit.problems import DeadlineExceeded, ServiceError, UpstreamMalformed
from services.indexer.domain import SPLIT_FAILED, Stored, TookTooLong, Work
from services.indexer.settings import Tuning

# These say that the model was not asked, and nothing about the dialogue.
_NOT_NOW = frozenset({429, 499, 503})


@dataclass(frozen=True, slots=True)
class CutUp:
    """Attributes:
    numbered: utterance ids of each fragment, by its number.
    degraded: why a model had no part in it, if it should have had.
    """

    numbered: dict[int, list[int]]
    degraded: str | None = None


class Cut:
    """A short dialogue is one fragment; a longer one is split by a model into its topics. Of a
    dialogue that grew, what was there stays as it was but for the fragment that goes on."""

    def __init__(self, generator: ServiceClient, tuning: Tuning) -> None:
        self._generator = generator
        self._tuning = tuning
        self._places = asyncio.Semaphore(tuning.splits_at_once)

    async def __call__(self, work: Work, dialogue: Dialogue) -> CutUp:
        """
        Raises:
            ServiceError: the generator is away, or failed and may yet succeed.
        """
        count = len(dialogue.utterances)
        if count <= self._tuning.short_turns:
            return CutUp({0: list(range(count))})
        if work.stored is not None and self._grew(work.stored, dialogue):
            return await self._go_on(work, work.stored, dialogue)
        groups, degraded = await self._split(work, dialogue, range(count))
        return CutUp(dict(enumerate(groups)), degraded)

    def _grew(self, stored: Stored, dialogue: Dialogue) -> bool:
        if not self._tuning.short_turns < stored.turns < len(dialogue.utterances):
            return False
        return stored.dialogue().utterances == dialogue.utterances[: stored.turns]

    async def _go_on(self, work: Work, stored: Stored, dialogue: Dialogue) -> CutUp:
        numbered = {number: list(piece.utterance_ids) for number, piece in stored.pieces.items()}
        last = next((n for n, ids in numbered.items() if stored.turns - 1 in ids), None)
        ids = numbered.pop(last) if last is not None else []
        ids += range(stored.turns, len(dialogue.utterances))
        groups, degraded = await self._split(work, dialogue, ids)
        free = (number for number in range(len(dialogue.utterances)) if number not in numbered)
        return CutUp(numbered | dict(zip(free, groups, strict=False)), degraded)

    async def _split(
        self, work: Work, dialogue: Dialogue, ids: Sequence[int]
    ) -> tuple[list[list[int]], str | None]:
        if len(ids) <= self._tuning.short_turns:
            return [list(ids)], None
        turns = [
            dialogue.utterances[i].model_copy(update={"id": place}) for place, i in enumerate(ids)
        ]
        task = SplitTask(tenant=work.tenant, dialogue=Dialogue(utterances=turns))
        began_s = 0.0
        try:
            async with self._places:
                began_s = time.monotonic()
                told = await self._generator.call("/v1/split", task, SplitAnswer)
        except ServiceError as error:
            self._raise_if_it_may_succeed(error, work, time.monotonic() - began_s)
            return _windows(ids, self._tuning.window_turns), SPLIT_FAILED
        groups = [[ids[place] for place in sorted(group)] for group in _sound(told, len(ids))]
        if not groups:
            return _windows(ids, self._tuning.window_turns), SPLIT_FAILED
        most = self._tuning.max_fragment_turns
        return [part for group in groups for part in _windows(group, most)], None

    def _raise_if_it_may_succeed(self, error: ServiceError, work: Work, took_s: float) -> None:
        if error.status in _NOT_NOW:
            raise error
        patience_s = self._tuning.patience_s(work.failures, work.tried_s)
        if isinstance(error, DeadlineExceeded):
            if took_s < patience_s:
                raise TookTooLong("the dialogue was not split in time", took_s) from error
            return
        again = work.failures + 1 < self._tuning.max_failures
        if again and error.status >= 500 and not isinstance(error, UpstreamMalformed):
            raise error


def _sound(told: SplitAnswer, count: int) -> list[list[int]]:
    """The groups in order of their beginnings, or none when they are no partition."""
    groups = [group for group in told.fragments if group]
    if sorted(place for group in groups for place in group) != list(range(count)):
        return []
    return sorted(groups, key=min)


def _windows(ids: Sequence[int], size: int) -> list[list[int]]:
    """Cut evenly, so that no window is a remnant."""
    parts = -(-len(ids) // size)
    bounds = [len(ids) * part // parts for part in range(parts + 1)]
    return [list(ids[a:b]) for a, b in itertools.pairwise(bounds)]
