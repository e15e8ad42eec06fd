"""Ranking the candidates of a search by LamRA-Rank, as far as the time allows."""

import time
from collections.abc import Sequence
from typing import Literal

from colloquy.contracts.reranking import Rerank
from colloquy.contracts.retrieval import Candidate
from colloquy.servicekit.deadlines import start_deadline
from colloquy.servicekit.problems import DeadlineExceeded, ServiceError
from gateway.pace import Pace
from gateway.pipelines import candidates as steps
from gateway.pipelines.asked import NOT_LISTWISE, NOT_RERANKED, Notes, Query
from gateway.pipelines.candidates import Ranked
from gateway.pipelines.parts import fragment_parts
from gateway.problems import Unsupported
from gateway.reranker import Reranker

Way = Literal["pointwise", "listwise"]
Mode = Literal["none"] | Way
_CHEAPER: dict[Mode, tuple[Way, ...]] = {
    "none": (),
    "pointwise": ("pointwise",),
    "listwise": ("listwise", "pointwise"),
}


class Ranking:
    """Args:
    pace: shared by all searches.
    weight: of P(Yes) beside the cosine.
    """

    def __init__(self, reranker: Reranker | None, pace: Pace, weight: float) -> None:
        self._reranker = reranker
        self._pace = pace
        self._weight = weight

    def mode(self, asked: Mode | None) -> Mode:
        """How to rank: as asked, else pointwise where that can be done.

        Raises:
            Unsupported: it is asked for, and there is no reranker.
        """
        if asked is None:
            return "none" if self._reranker is None else "pointwise"
        if asked != "none" and self._reranker is None:
            raise Unsupported("this installation has no reranker: leave out `rerank`")
        return asked

    async def rank(
        self, query: Query, found: Sequence[Candidate], asked: Mode, within_s: float, notes: Notes
    ) -> list[Ranked]:
        """Ranks as asked, or more cheaply, or not at all: what it does ends within `within_s`."""
        way = next((w for w in _CHEAPER[asked] if self._expect_s(w, len(found)) <= within_s), None)
        scores = None if way is None else await self._scores(query, found, way, within_s, notes)
        if way is None or scores is None:
            if asked != "none":
                notes.degrade(NOT_RERANKED)
            return steps.as_retrieved(found)
        if way == "listwise":
            return steps.by_number(found, scores)
        if asked != way:
            notes.degrade(NOT_LISTWISE)
        return steps.by_yes(found, scores, self._weight)

    async def _scores(
        self, query: Query, found: Sequence[Candidate], way: Way, within_s: float, notes: Notes
    ) -> list[float | None] | None:
        """A score for each candidate; None when the reranker fails or takes too long."""
        assert self._reranker is not None
        question = Rerank(
            tenant=query.tenant,
            query=query.parts,
            candidates=[fragment_parts(one.fragment.utterances) for one in found],
            mode=way,
        )
        began_s = time.monotonic()
        try:
            async with start_deadline(within_s * 1_000):
                answer = await self._reranker.rerank(question)
        except ServiceError as error:
            if isinstance(error, DeadlineExceeded):
                self._note(way, len(found), within_s)  # it takes so long at least
            return None
        self._note(way, len(found), time.monotonic() - began_s)
        if len(answer.scores) != len(found):
            return None
        notes.models["rank"] = answer.model
        notes.degrade(*answer.degraded)
        return answer.scores

    # A list is one call; pointwise work grows with the candidates.

    def _note(self, way: Way, count: int, seconds: float) -> None:
        self._pace.note(way, seconds / (count if way == "pointwise" else 1))

    def _expect_s(self, way: Way, count: int) -> float:
        return self._pace.expect_s(way) * (count if way == "pointwise" else 1)
