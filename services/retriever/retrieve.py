"""Hybrid search: every space and BM25 propose, their ranks are fused, the best are kept."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from colloquy.contracts.content import ImagePart, TextPart
from colloquy.contracts.retrieval import BM25, Candidate, FragmentRecord, Retrieve, Retrieved
from colloquy.media.failures import at_place
from colloquy.servicekit.deadlines import current_deadline
from colloquy.servicekit.problems import (
    DeadlineExceeded,
    Malformed,
    Overloaded,
    ServiceError,
    Unavailable,
    UpstreamFailed,
)
from services.retriever.domain import Hit, Key, Schema, SpaceSchema, Where
from services.retriever.embed import QueryVectors
from services.retriever.encoding import Content
from services.retriever.fusion import fuse
from services.retriever.keep_collections import key_of
from services.retriever.metrics import Metrics
from services.retriever.selecting import where_of
from services.retriever.settings import Tuning
from services.retriever.spaces import OpenSpaces
from services.retriever.sparse import Bm25
from services.retriever.vector_store import VectorStore

# A method that fails like this is left out; whatever else is wrong is wrong with the request.
_LEFT_OUT = (Unavailable, Overloaded, UpstreamFailed, DeadlineExceeded)


@dataclass(slots=True)
class _Search:
    """One request, and what its methods found."""

    key: Key
    schema: Schema
    query: Content
    where: Where
    proposals: int
    exact: bool
    hits: dict[str, list[Hit]] = field(default_factory=dict)
    vectors: dict[str, list[float]] = field(default_factory=dict)
    timings_ms: dict[str, float] = field(default_factory=dict)
    failure: ServiceError | None = None

    def space(self, name: str) -> SpaceSchema:
        return next(space for space in self.schema.spaces if space.name == name)


class RetrieveCandidates:
    """The use case."""

    def __init__(
        self,
        store: VectorStore,
        spaces: OpenSpaces,
        bm25: Bm25,
        tuning: Tuning,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._spaces = spaces
        self._bm25 = bm25
        self._tuning = tuning
        self._metrics = metrics
        self._queries = QueryVectors(tuning.remembered_queries, metrics)

    async def __call__(self, body: Retrieve) -> Retrieved:
        """
        Raises:
            Malformed: there is no query, or a method that cannot be used with it.
            CollectionMissing, BlobMissing, BadImage.
            Unavailable: no method is left.
        """
        query = _query(body)
        key = key_of(body)
        schema = await self._store.schema(key)
        search = _Search(
            key,
            schema,
            query,
            where_of(body.selection),
            max(self._tuning.proposals, self._tuning.proposals_per_result * body.limit),
            body.exact,
        )
        methods = _methods(body, schema, query)
        await self._ask_all(search, methods)
        if not search.hits:
            raise search.failure or Unavailable("no method of search is left")
        left_out = [method for method in methods if method not in search.hits]
        for method in left_out:
            self._metrics.left_out.labels(method).inc()
        return Retrieved(
            candidates=await self._candidates(search, body.limit),
            models={
                name: search.space(name).revision for name in methods if name in search.vectors
            },
            degraded=[f"{method}-left-out" for method in left_out],
            timings_ms=search.timings_ms,
        )

    # --- methods ----------------------------------------------------------------------------

    async def _ask_all(self, search: _Search, methods: list[str]) -> None:
        """Fills `search.hits`; a method that fails or is late stays out of it."""
        deadline = current_deadline()
        patience_s = None if deadline is None else deadline.left_s() * self._tuning.patience
        asked = {asyncio.create_task(self._ask(search, method)) for method in methods}
        try:
            _, late = await asyncio.wait(asked, timeout=patience_s)
            while late and not search.hits:  # then the one that is late is all there is
                _, late = await asyncio.wait(late, return_when=asyncio.FIRST_COMPLETED)
            for task in asked - late:
                task.result()
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def _ask(self, search: _Search, method: str) -> None:
        started = time.perf_counter()
        try:
            if method == BM25:
                hits = await self._by_words(search)
            else:
                hits = await self._by_space(search, method)
        except _LEFT_OUT as failure:
            search.failure = failure
            return
        took_s = time.perf_counter() - started
        self._metrics.method_seconds.labels(method).observe(took_s)
        search.timings_ms[method] = round(took_s * 1_000, 3)
        # The store's order, but for equal scores, which it may give in any.
        search.hits[method] = sorted(hits, key=lambda hit: (-hit.score, hit.id))

    async def _by_words(self, search: _Search) -> list[Hit]:
        text = "\n".join(search.query.texts)
        terms = await asyncio.to_thread(self._bm25.query, text)
        if not terms.indices:
            return []
        return await self._store.matching(search.key, terms, search.where, search.proposals)

    async def _by_space(self, search: _Search, name: str) -> list[Hit]:
        if name not in self._spaces:
            raise Unavailable(f"this installation no longer has the space `{name}`; reindex")
        encoder = self._spaces[name]
        if (await encoder.identity()).revision != search.space(name).revision:
            raise Unavailable(f"the space `{name}` has another model now; reindex")
        vector = await self._queries.of(encoder, search.key.tenant, search.query)
        hits = await self._store.nearest(
            search.key, name, vector, search.where, search.proposals, exact=search.exact
        )
        search.vectors[name] = vector
        return hits

    # --- candidates -------------------------------------------------------------------------

    async def _candidates(self, search: _Search, limit: int) -> list[Candidate]:
        payloads = {hit.id: hit.payload for hits in search.hits.values() for hit in hits}
        scores = {
            method: {hit.id: hit.score for hit in hits} for method, hits in search.hits.items()
        }
        kept = _order(scores, self._tuning.fusion_weights, limit)
        similarities = await self._similarities(search, scores, [id_ for id_, _ in kept])
        return [
            Candidate(
                fragment=FragmentRecord.model_validate(payloads[id_]["record"]),
                similarity=similarities.get(id_),
                score=score,
                by_method={method: found[id_] for method, found in scores.items() if id_ in found},
            )
            for id_, score in kept
        ]

    async def _similarities(
        self, search: _Search, scores: Mapping[str, Mapping[UUID, float]], ids: list[UUID]
    ) -> dict[UUID, float]:
        """Cosines in the collection's first space that was searched."""
        first = next((s.name for s in search.schema.spaces if s.name in search.hits), None)
        if first is None:
            return {}
        known = {id_: scores[first][id_] for id_ in ids if id_ in scores[first]}
        if missing := [id_ for id_ in ids if id_ not in known]:
            vector = search.vectors[first]
            known |= await self._store.similarities(search.key, first, vector, missing)
        return known


def _query(body: Retrieve) -> Content:
    text = (body.query or "").strip()
    parts: list[TextPart | ImagePart] = []
    if body.query_image is not None:
        parts.append(ImagePart.of(body.query_image))
    if text:
        parts.append(TextPart(text=text))
    if not parts:
        raise at_place(Malformed, "body/query", "is needed, or `query_image`")
    return Content(tuple(parts), is_query=True)


def _methods(body: Retrieve, schema: Schema, query: Content) -> list[str]:
    """In the order of the collection's spaces, BM25 last."""
    possible = [space.name for space in schema.spaces]
    if query.texts:
        possible.append(BM25)
    if body.methods is None:
        return possible
    for place, method in enumerate(body.methods):
        if method not in possible:
            why = "needs a query's text" if method == BM25 else "is no method of this collection"
            raise at_place(Malformed, f"body/methods/{place}", why)
    return [method for method in possible if method in body.methods]


def _order(
    scores: Mapping[str, Mapping[UUID, float]], weights: Mapping[str, float], limit: int
) -> list[tuple[UUID, float]]:
    """The best by RRF; of a single method, by its own score."""
    if len(scores) > 1:
        return fuse({method: list(found) for method, found in scores.items()}, weights)[:limit]
    (found,) = scores.values()
    return list(found.items())[:limit]
