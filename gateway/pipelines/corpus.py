"""Search in a collection: the only place that knows the order retrieve → rerank → refine → merge.

A search that has retrieved something always answers. What does not fit into the time that is left,
judged by how long it took lately, or what fails, is left out, in this order: a listwise ranking
becomes a pointwise one, then none; then candidates are given as they are instead of refined. The
answer's `degraded` says so.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from colloquy.contracts.content import ImagePart, TextPart
from colloquy.contracts.fragments import FragmentSearchRequest, FragmentSearchResponse
from colloquy.contracts.generation import FragmentTask
from colloquy.contracts.reranking import Rerank
from colloquy.contracts.retrieval import Candidate, Retrieve, Retrieved, Selection
from colloquy.servicekit.context import request_id
from colloquy.servicekit.deadlines import current_deadline, start_deadline
from colloquy.servicekit.problems import CollectionMissing, DeadlineExceeded, ServiceError
from gateway.generator import Generator
from gateway.metrics import Metrics
from gateway.pace import Pace
from gateway.pictures import Pictures
from gateway.pipelines import candidates as steps
from gateway.pipelines.candidates import Kept, Ranked
from gateway.pipelines.parts import fragment_parts
from gateway.problems import Unsupported
from gateway.reranker import Reranker
from gateway.retriever import Retriever
from gateway.settings import Knobs
from gateway.timings import Timings

Ranking = Literal["pointwise", "listwise"]
Mode = Literal["none"] | Ranking
NOT_RERANKED, NOT_LISTWISE, NOT_REFINED = "rerank", "rerank-listwise", "refine"
RETRIEVED_WITHOUT = "retrieve-"
"""What `degraded` may say, beside what the services behind say of themselves."""

# What is kept of the time for putting the answer together.
_ENDING_S = 0.1
_ENDING_SHARE = 0.1
# Of the time, where nothing is known yet: a ranking leaves so much to refining.
_REFINE_SHARE = 0.3
_CHEAPER: dict[Mode, tuple[Ranking, ...]] = {
    "none": (),
    "pointwise": ("pointwise",),
    "listwise": ("listwise", "pointwise"),
}


@dataclass(frozen=True, slots=True)
class _Query:
    """Attributes:
    picture: a blob reference.
    """

    tenant: str
    text: str | None
    picture: str | None

    @property
    def parts(self) -> list[TextPart | ImagePart]:
        """Pictures first, as LamRA was published."""
        pictures = [ImagePart.of(self.picture)] if self.picture else []
        return [*pictures, *([TextPart(text=self.text)] if self.text else [])]


@dataclass(slots=True)
class _Notes:
    """What goes into the answer beside the fragments."""

    degraded: list[str] = field(default_factory=list)
    models: dict[str, str] = field(default_factory=dict)

    def degrade(self, *names: str) -> None:
        self.degraded += [name for name in names if name not in self.degraded]


class Corpus:
    """Searches collections. Without a retriever there are none; without a reranker none is asked.

    Args:
        pace: shared by all searches.
    """

    def __init__(
        self,
        retriever: Retriever | None,
        reranker: Reranker | None,
        generator: Generator,
        pictures: Pictures,
        metrics: Metrics,
        knobs: Knobs,
        pace: Pace,
    ) -> None:
        self._retriever = retriever
        self._reranker = reranker
        self._generator = generator
        self._pictures = pictures
        self._metrics = metrics
        self._knobs = knobs
        self._pace = pace

    async def search(self, tenant: str, request: FragmentSearchRequest) -> FragmentSearchResponse:
        """Finds what answers the query in the fragments of a collection.

        Raises:
            ServiceError: the request asks for what cannot be done, or nothing can be retrieved.
        """
        timings, notes = Timings(self._metrics), _Notes()
        mode = self._mode(request.rerank)
        query = await self._understood(tenant, request, timings)
        with timings.step("retrieve"):
            retrieved = await self._retrieved(query, request)
        notes.models |= retrieved.models
        notes.degrade(*(RETRIEVED_WITHOUT + name for name in retrieved.degraded))
        refined = min(2 * request.top_k, self._knobs.max_refined, len(retrieved.candidates))
        if not request.refine:
            refined = 0
        if mode != "none" and retrieved.candidates:
            with timings.step("rerank"):
                ranked = await self._ranked(query, retrieved.candidates, mode, refined, notes)
        else:
            ranked = steps.as_retrieved(retrieved.candidates)
        if refined:
            with timings.step("refine"):
                kept = await self._refined(query, ranked[:refined], request.top_k, notes)
        else:
            kept = [steps.whole(one) for one in ranked[: request.top_k]]
        for name in notes.degraded:
            self._metrics.degraded.labels(name).inc()
        found = steps.merged(kept) if request.merge else steps.apart(kept)
        return FragmentSearchResponse(
            fragments=found[: request.top_k],
            degraded=notes.degraded,
            models=notes.models,
            timings_ms=timings.in_ms(),
            request_id=request_id(),
        )

    def _mode(self, asked: Mode | None) -> Mode:
        """How to rank: as asked, else pointwise where that can be done."""
        if asked is None:
            return "none" if self._reranker is None else "pointwise"
        if asked != "none" and self._reranker is None:
            raise Unsupported("this installation has no reranker: leave out `rerank`")
        return asked

    async def _understood(
        self, tenant: str, request: FragmentSearchRequest, timings: Timings
    ) -> _Query:
        text = request.query if request.query and request.query.strip() else None
        if request.query_image is None:
            return _Query(tenant, text, None)
        with timings.step("media"):
            picture = await self._pictures.take_in_one(
                tenant, request.query_image, "body/query_image/url"
            )
        return _Query(tenant, text, picture)

    async def _retrieved(self, query: _Query, request: FragmentSearchRequest) -> Retrieved:
        if self._retriever is None or request.collection is None:
            raise CollectionMissing("this installation has no collections")
        wanted = request.candidates or max(self._knobs.candidates, request.top_k)
        question = Retrieve(
            tenant=query.tenant,
            collection=request.collection,
            query=query.text,
            query_image=query.picture,
            selection=Selection.model_validate({"filter": request.filter, "as": request.as_}),
            limit=wanted,
            methods=request.methods,
        )
        return await self._retriever.retrieve(question)

    # --- ranking --------------------------------------------------------------------------------

    async def _ranked(
        self, query: _Query, found: Sequence[Candidate], asked: Mode, refined: int, notes: _Notes
    ) -> list[Ranked]:
        """Ranks as asked, or more cheaply, or not at all, as the time allows."""
        left_s, reserve_s = _left_s(), self._refining_s(refined)
        if reserve_s > left_s:
            reserve_s = 0.0  # it will be left out, so nothing is kept for it
        within_s = left_s - max(reserve_s, _REFINE_SHARE * left_s if refined else 0.0)
        for mode in _CHEAPER[asked]:
            if self._ranking_s(mode, len(found)) <= within_s:
                break
        else:
            notes.degrade(NOT_RERANKED)
            return steps.as_retrieved(found)
        scores = await self._scores(query, found, mode, within_s, notes)
        if scores is None:
            notes.degrade(NOT_RERANKED)
            return steps.as_retrieved(found)
        if mode == "listwise":
            return steps.by_number(found, scores)
        if asked != mode:
            notes.degrade(NOT_LISTWISE)
        return steps.by_yes(found, scores, self._knobs.rerank_weight)

    async def _scores(
        self,
        query: _Query,
        found: Sequence[Candidate],
        mode: Ranking,
        within_s: float,
        notes: _Notes,
    ) -> list[float | None] | None:
        """A score for each candidate; None when the reranker fails or takes too long."""
        assert self._reranker is not None
        question = Rerank(
            tenant=query.tenant,
            query=query.parts,
            candidates=[fragment_parts(one.fragment.utterances) for one in found],
            mode=mode,
        )
        began_s = time.monotonic()
        try:
            async with start_deadline(within_s * 1_000):
                answer = await self._reranker.rerank(question)
        except ServiceError as error:
            if isinstance(error, DeadlineExceeded):
                self._note_ranking(mode, len(found), within_s)  # it takes so long at least
            return None
        self._note_ranking(mode, len(found), time.monotonic() - began_s)
        if len(answer.scores) != len(found):
            return None
        notes.models["rank"] = answer.model
        notes.degrade(*answer.degraded)
        return answer.scores

    def _note_ranking(self, mode: Ranking, count: int, seconds: float) -> None:
        self._pace.note(mode, seconds / (count if mode == "pointwise" else 1))

    def _ranking_s(self, mode: Ranking, count: int) -> float:
        return self._pace.expect_s(mode) * (count if mode == "pointwise" else 1)

    # --- refining -------------------------------------------------------------------------------

    async def _refined(
        self, query: _Query, ranked: Sequence[Ranked], top_k: int, notes: _Notes
    ) -> list[Kept]:
        """What F2RVLM names in each candidate.

        One that it did not read, because it failed or the time was up, stays as it is, if it is
        among the `top_k` that would be given without refining.
        """
        left_s = _left_s()
        # The published prompt has no place for a picture, so a query without text cannot be put.
        if query.text is None or self._refining_s(len(ranked)) > left_s:
            notes.degrade(NOT_REFINED)
            return [steps.whole(one) for one in ranked[:top_k]]
        room = asyncio.Semaphore(self._knobs.refine_at_once)
        ends_s = time.monotonic() + left_s

        async def read(one: Ranked) -> Kept | None:
            async with room:
                return await self._read(query, one, ends_s - time.monotonic(), notes)

        read_all = await asyncio.gather(*(read(one) for one in ranked))
        kept = []
        for place, (one, answer) in enumerate(zip(ranked, read_all, strict=True)):
            if answer is not None:
                kept.append(answer)
            elif place < top_k:
                kept.append(steps.whole(one))
        return kept

    async def _read(
        self, query: _Query, one: Ranked, within_s: float, notes: _Notes
    ) -> Kept | None:
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
                self._pace.note("refine", within_s)  # it takes so long at least
            return None
        self._pace.note("refine", time.monotonic() - began_s)
        notes.models["fragment"] = answer.model
        notes.degrade(*answer.degraded)
        return kept

    def _refining_s(self, count: int) -> float:
        rounds = -(-count // self._knobs.refine_at_once)
        return self._pace.expect_s("refine") * rounds


def _left_s() -> float:
    """Seconds that the steps may still use."""
    deadline = current_deadline()
    assert deadline is not None, "the route starts it"
    left_s = deadline.left_s()
    return left_s - min(_ENDING_S, _ENDING_SHARE * left_s)
