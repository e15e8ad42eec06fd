"""Fragments become points: embedded into every space of their collection, weighed for BM25."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from colloquy.contracts.retrieval import FragmentFault, FragmentRecord, Upserted, UpsertFragments
from colloquy.media.failures import at_place
from colloquy.servicekit.problems import Conflict, Malformed, ServiceError, Unavailable
from services.retriever.domain import Point, SpaceSchema, SparseVector, metadata_terms, unix_seconds
from services.retriever.encoding import Encoded, Encoder, Turns, together
from services.retriever.keep_collections import key_of
from services.retriever.metrics import Metrics
from services.retriever.spaces import OpenSpaces
from services.retriever.sparse import Bm25
from services.retriever.vector_store import VectorStore


class Upsert:
    """The use case."""

    def __init__(
        self, store: VectorStore, spaces: OpenSpaces, bm25: Bm25, metrics: Metrics
    ) -> None:
        self._store = store
        self._spaces = spaces
        self._bm25 = bm25
        self._metrics = metrics

    async def __call__(self, body: UpsertFragments) -> Upserted:
        """Stores what can be embedded, and says of the rest why not.

        Raises:
            Malformed: a fragment is sent twice, or its picture ids do not fit its pictures.
            CollectionMissing: it is not open.
            Conflict: a space of the collection is of another model than the profile's.
            Unavailable: a model or the store is not there; nothing was stored.
        """
        _check(body.fragments)
        key = key_of(body)
        schema = await self._store.schema(key)
        encoders = [await self._encoder(space) for space in schema.spaces]
        items = [Turns(tuple(record.utterances)) for record in body.fragments]
        told, sparse = await asyncio.gather(
            together([_encode(encoder, body.tenant, items) for encoder in encoders]),
            asyncio.to_thread(self._weigh, items),
        )
        points, faults = [], []
        for number, record in enumerate(body.fragments):
            vectors = {
                space.name: results[number]
                for space, results in zip(schema.spaces, told, strict=True)
            }
            if why := _first_failure(vectors.values()):
                faults.append(FragmentFault(id=record.id, why=why))
            else:
                points.append(_point(body.tenant, record, vectors, sparse[number]))
        if points:
            await self._store.upsert(key, points)
        self._metrics.fragments.labels("stored").inc(len(points))
        self._metrics.fragments.labels("refused").inc(len(faults))
        models = {space.name: space.revision for space in schema.spaces}
        return Upserted(stored=len(points), faults=faults, models=models)

    async def _encoder(self, space: SpaceSchema) -> Encoder:
        if space.name not in self._spaces:
            raise Conflict(f"this installation no longer has the space `{space.name}`; reindex")
        encoder = self._spaces[space.name]
        if (await encoder.identity()).revision != space.revision:
            raise Conflict(f"the space `{space.name}` has another model now; reindex")
        return encoder

    def _weigh(self, items: Sequence[Turns]) -> list[SparseVector]:
        return [self._bm25.document(words_of(item)) for item in items]


def words_of(item: Turns) -> str:
    """What BM25 reads of a fragment: who speaks, and what is said."""
    return "\n".join(" ".join([turn.speaker, *Turns((turn,)).texts]) for turn in item.utterances)


async def _encode(
    encoder: Encoder, tenant: str, items: Sequence[Turns]
) -> list[Encoded | ServiceError]:
    before = await encoder.identity()
    told = await encoder.encode(tenant, items)
    if await encoder.identity() != before:
        raise Unavailable(f"the model of space `{encoder.name}` was just exchanged")
    return told


def _check(fragments: Sequence[FragmentRecord]) -> None:
    seen = set()
    for place, record in enumerate(fragments):
        if record.id in seen:
            raise at_place(Malformed, f"body/fragments/{place}/id", "stands twice")
        seen.add(record.id)
        pictures = sum(len(turn.images) for turn in record.utterances)
        if len(record.image_ids) != pictures:
            raise at_place(
                Malformed,
                f"body/fragments/{place}/image_ids",
                f"names {len(record.image_ids)} pictures, and the utterances show {pictures}",
            )


def _first_failure(results: Any) -> str | None:
    for result in results:
        if isinstance(result, ServiceError):
            return result.detail or result.title
    return None


def _point(
    tenant: str,
    record: FragmentRecord,
    vectors: Mapping[str, Encoded],
    bm25: SparseVector,
) -> Point:
    times = [unix_seconds(turn.time) for turn in record.utterances if turn.time is not None]
    payload: dict[str, Any] = {
        "record": record.model_dump(mode="json"),
        "tenant": tenant,
        "dialogue_id": record.dialogue_id,
        "revision": record.revision,
        "speakers": sorted({turn.speaker for turn in record.utterances}),
        "metadata": metadata_terms(record.metadata),
        "acl": list(record.acl),
    }
    if times:
        payload |= {"time_from": min(times), "time_to": max(times)}
    return Point(record.id, {name: one.vector for name, one in vectors.items()}, bm25, payload)
