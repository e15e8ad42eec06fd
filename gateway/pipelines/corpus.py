"""Search in a collection: the only place that knows the order retrieve → rerank → refine → merge.

A search that has retrieved something always answers. What does not fit into the time that is left,
judged by how long it took lately, or what fails, is left out, in this order: a listwise ranking
becomes a pointwise one, then none; then candidates are given as they are instead of refined. The
answer's `degraded` says so.
"""

from colloquy.contracts.fragments import FragmentSearchRequest, FragmentSearchResponse
from colloquy.contracts.retrieval import Retrieve, Retrieved, Selection
from colloquy.servicekit.context import request_id
from colloquy.servicekit.problems import CollectionMissing
from gateway.metrics import Metrics
from gateway.pictures import Pictures
from gateway.pipelines import candidates as steps
from gateway.pipelines.asked import RETRIEVED_WITHOUT, Notes, Query, left_s
from gateway.pipelines.candidates import Kept, Ranked
from gateway.pipelines.ranking import Mode, Ranking
from gateway.pipelines.refining import Refining, Wanted
from gateway.retriever import Retriever
from gateway.settings import Knobs
from gateway.timings import Timings

# Of the time, where nothing is known yet: a ranking leaves so much to refining.
_REFINE_SHARE = 0.3
# Retrieved for each dialogue that is wanted, as several candidates may be of one.
_MERGED_SHARE = 2


class Corpus:
    """Searches collections; without a retriever there are none."""

    def __init__(
        self,
        retriever: Retriever | None,
        ranking: Ranking,
        refining: Refining,
        pictures: Pictures,
        metrics: Metrics,
        knobs: Knobs,
    ) -> None:
        self._retriever = retriever
        self._ranking = ranking
        self._refining = refining
        self._pictures = pictures
        self._metrics = metrics
        self._knobs = knobs

    async def search(self, tenant: str, request: FragmentSearchRequest) -> FragmentSearchResponse:
        """Finds what answers the query in the fragments of a collection.

        Raises:
            ServiceError: the request asks for what cannot be done, or nothing can be retrieved.
        """
        timings, notes = Timings(self._metrics), Notes()
        mode = self._ranking.mode(request.rerank)
        query = await self._understood(tenant, request, timings)
        with timings.step("retrieve"):
            retrieved = await self._retrieved(query, request)
        notes.models |= retrieved.models
        notes.degrade(*(RETRIEVED_WITHOUT + name for name in retrieved.degraded))
        read = self._to_read(request, len(retrieved.candidates))
        ranked = await self._ranked(query, retrieved, mode, read, timings, notes)
        kept = await self._kept(query, ranked, read, request, timings, notes)
        found = steps.merged(kept) if request.merge else steps.apart(kept)
        for name in notes.degraded:
            self._metrics.degraded.labels(name).inc()
        return FragmentSearchResponse(
            fragments=found[: request.top_k],
            degraded=notes.degraded,
            models=notes.models,
            timings_ms=timings.in_ms(),
            request_id=request_id(),
        )

    async def _understood(
        self, tenant: str, request: FragmentSearchRequest, timings: Timings
    ) -> Query:
        text = request.query if request.query and request.query.strip() else None
        if request.query_image is None:
            return Query(tenant, text, None)
        with timings.step("media"):
            picture = await self._pictures.take_in_one(
                tenant, request.query_image, "body/query_image/url"
            )
        return Query(tenant, text, picture)

    async def _retrieved(self, query: Query, request: FragmentSearchRequest) -> Retrieved:
        if self._retriever is None or request.collection is None:
            raise CollectionMissing("this installation has no collections")
        question = Retrieve(
            tenant=query.tenant,
            collection=request.collection,
            query=query.text,
            query_image=query.picture,
            # Who holds no label finds what nobody has restricted.
            selection=Selection.model_validate({"filter": request.filter, "as": request.as_ or []}),
            limit=request.candidates or self._limit(request),
            methods=request.methods,
        )
        return await self._retriever.retrieve(question)

    def _limit(self, request: FragmentSearchRequest) -> int:
        """How many candidates are retrieved: more than are wanted, where merging takes some."""
        wanted = _MERGED_SHARE * request.top_k if request.merge else request.top_k
        return max(self._knobs.candidates, wanted)

    def _to_read(self, request: FragmentSearchRequest, found: int) -> int:
        """How many candidates F2RVLM reads: more than are wanted, since it drops some."""
        return min(2 * request.top_k, self._knobs.max_refined, found) if request.refine else 0

    async def _ranked(
        self,
        query: Query,
        retrieved: Retrieved,
        mode: Mode,
        to_read: int,
        timings: Timings,
        notes: Notes,
    ) -> list[Ranked]:
        found = retrieved.candidates
        if mode == "none" or not found:
            return steps.as_retrieved(found)
        with timings.step("rerank"):
            seconds, reading_s = left_s(), self._refining.expect_s(to_read)
            kept_s = max(reading_s, _REFINE_SHARE * seconds) if to_read else 0.0
            if kept_s > seconds:  # reading will be left out, so nothing is kept for it
                kept_s = 0.0
            return await self._ranking.rank(query, found, mode, seconds - kept_s, notes)

    async def _kept(
        self,
        query: Query,
        ranked: list[Ranked],
        to_read: int,
        request: FragmentSearchRequest,
        timings: Timings,
        notes: Notes,
    ) -> list[Kept]:
        top_k = request.top_k
        given = steps.reaching(ranked, top_k) if request.merge else top_k
        if not to_read:
            return [steps.whole(one) for one in ranked[:given]]
        wanted = Wanted(
            given=given,
            at_first=to_read,
            most=min(self._knobs.max_refined, len(ranked)),
            dialogues=top_k if request.merge else None,
        )
        with timings.step("refine"):
            return await self._refining.refine(query, ranked, wanted, left_s(), notes)
