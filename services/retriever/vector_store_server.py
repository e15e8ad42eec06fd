"""Vectors in a Qdrant server: one physical collection for each of ours, behind an alias.

The suite of the port runs over the in-process form of the same client (`:memory:`). It has not been
run against a server: none could be started where this was written.
"""

import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

from qdrant_client import AsyncQdrantClient, models

from colloquy.contracts.operation import Check
from colloquy.contracts.retrieval import BM25
from colloquy.servicekit.problems import CollectionMissing
from services.retriever.domain import Hit, Key, Point, Schema, SparseVector, Vector, Where
from services.retriever.vector_store_calls import ServerCalls
from services.retriever.vector_store_points import (
    BODY,
    Batch,
    check_schema,
    check_terms,
    checked_batch,
    checked_query,
    conditions,
    payload_of,
    point_of,
    schema_from_json,
    schema_to_json,
    selects_nothing,
)
from services.retriever.vector_store_tuning import ServerTuning, collection_options, index_of

_REMEMBERED_S: Final = 2.0
_GREEN_EVERY_S: Final = 0.5
_NO_TERMS: Final = SparseVector((), ())
_Answer = TypeVar("_Answer")


class ServerStore:
    """A `VectorStore`; many retrievers may use one server.

    A collection's schema stands in the metadata of the physical collection. `promote` moves the
    alias in one request of the server, so that every search sees the old or the new.
    """

    def __init__(self, client: AsyncQdrantClient, tuning: ServerTuning | None = None) -> None:
        self._client = client
        self._tuning = tuning or ServerTuning()
        self._calls = ServerCalls(self._tuning.timeout_s)
        self._known: dict[str, tuple[float, str, Schema]] = {}

    async def open(self, key: Key, schema: Schema) -> Schema:
        check_schema(schema)
        found = await self._find(key)
        if found is not None:
            return found[1]
        alias, physical = _alias(key), f"colloquy-{uuid.uuid4().hex}"
        options = collection_options(self._tuning, schema)
        metadata = {"physical": physical, **schema_to_json(schema)}
        await self._call(
            lambda timeout: self._client.create_collection(
                physical, **options, metadata=metadata, timeout=timeout
            )
        )
        for field, index in index_of().items():
            await self._index(physical, field, index)
        found = await self._find(key)
        if found is not None:  # another retriever was quicker
            await self._delete_collection(physical)
            return found[1]
        await self._aliases([_create(alias, physical)])
        return schema

    async def drop(self, key: Key) -> bool:
        found = await self._find(key)
        if found is None:
            return False
        self._known.pop(_alias(key), None)
        await self._aliases([_delete(_alias(key))])
        await self._delete_collection(found[0])
        return True

    async def promote(self, key: Key) -> None:
        live = Key(key.tenant, key.collection)
        staged = Key(key.tenant, key.collection, staged=True)
        copy, old = await self._find(staged), await self._find(live)
        if copy is None:
            raise _missing()
        moves = [_delete(_alias(staged)), _create(_alias(live), copy[0])]
        if old is not None:
            moves.insert(1, _delete(_alias(live)))
        await self._aliases(moves)
        for alias in (_alias(live), _alias(staged)):
            self._known.pop(alias, None)
        if old is not None:
            await self._delete_collection(old[0])

    async def schema(self, key: Key) -> Schema:
        alias = _alias(key)
        known = self._known.get(alias)
        if known is not None and time.monotonic() - known[0] < _REMEMBERED_S:
            return known[2]
        found = await self._find(key)
        if found is None:
            self._known.pop(alias, None)
            raise _missing()
        self._known[alias] = (time.monotonic(), *found)
        return found[1]

    async def collections(self, tenant: str) -> list[str]:
        reply = await self._call(lambda _: self._client.get_aliases())
        parts = [alias.alias_name.split("~") for alias in reply.aliases]
        return sorted(
            part[2]
            for part in parts
            if len(part) == 4 and part[0] == "colloquy" and part[1] == tenant and part[3] == "live"
        )

    async def upsert(self, key: Key, points: Sequence[Point]) -> None:
        batch = checked_batch(key.tenant, await self.schema(key), points)
        if not points:
            return
        await self._call(
            lambda timeout: self._client.upsert(
                _alias(key), _structs(batch), wait=True, timeout=timeout
            )
        )

    async def delete(self, key: Key, where: Where) -> int:
        count = await self.count(key, where)
        if count:
            selector = models.FilterSelector(filter=_filter(key, where))
            await self._call(
                lambda timeout: self._client.delete(
                    _alias(key), selector, wait=True, timeout=timeout
                )
            )
        return count

    async def count(self, key: Key, where: Where) -> int:
        await self.schema(key)
        if selects_nothing(where):
            return 0
        reply = await self._call(
            lambda timeout: self._client.count(
                _alias(key), count_filter=_filter(key, where), exact=True, timeout=timeout
            )
        )
        return reply.count

    async def scroll(
        self, key: Key, where: Where, limit: int, cursor: UUID | None
    ) -> tuple[list[Point], UUID | None]:
        await self.schema(key)
        if selects_nothing(where):
            return [], None
        records, following = await self._call(
            lambda timeout: self._client.scroll(
                _alias(key),
                scroll_filter=_filter(key, where),
                limit=limit,
                offset=str(cursor) if cursor is not None else None,
                with_payload=[BODY],
                with_vectors=True,
                timeout=timeout,
            )
        )
        following = UUID(str(following)) if following is not None else None
        return [_point(record) for record in records], following

    async def nearest(
        self, key: Key, space: str, vector: Vector, where: Where, limit: int, *, exact: bool
    ) -> list[Hit]:
        row = checked_query(await self.schema(key), space, vector).tolist()
        return _hits(await self._search(key, space, row, where, limit, exact=exact))

    async def matching(self, key: Key, terms: SparseVector, where: Where, limit: int) -> list[Hit]:
        check_terms(terms)
        await self.schema(key)
        if not terms.indices:
            return []
        query = models.SparseVector(indices=list(terms.indices), values=list(terms.values))
        return _hits(await self._search(key, BM25, query, where, limit))

    async def similarities(
        self, key: Key, space: str, vector: Vector, ids: Sequence[UUID]
    ) -> Mapping[UUID, float]:
        row = checked_query(await self.schema(key), space, vector).tolist()
        known = Where(ids=tuple(ids))
        found = await self._search(key, space, row, known, len(ids), exact=True, bodies=False)
        return {UUID(str(point.id)): point.score for point in found}

    async def optimise(self, key: Key) -> None:
        """The server builds its graphs by itself; this has it begin, and waits until it is done."""
        await self.schema(key)
        nothing = models.OptimizersConfigDiff()
        await self._call(
            lambda timeout: self._client.update_collection(
                _alias(key), optimizers_config=nothing, timeout=timeout
            )
        )
        while True:
            info = await self._call(lambda _: self._client.get_collection(_alias(key)))
            if info.status == models.CollectionStatus.GREEN:
                return
            await self._calls.pause(_GREEN_EVERY_S)

    async def unindexed(self, key: Key) -> int:
        spaces = len((await self.schema(key)).spaces)
        info = await self._call(lambda _: self._client.get_collection(_alias(key)))
        points, indexed = info.points_count or 0, info.indexed_vectors_count or 0
        # Sparse vectors are always indexed, and counted.
        return max(0, points - max(0, indexed - points) // spaces)

    def checks(self) -> list[Check]:
        trouble = self._calls.trouble
        return [Check(name="vectors", ready=trouble is None, detail=trouble)]

    async def _search(
        self,
        key: Key,
        using: str,
        query: list[float] | models.SparseVector,
        where: Where,
        limit: int,
        *,
        exact: bool = False,
        bodies: bool = True,
    ) -> list[models.ScoredPoint]:
        if selects_nothing(where):
            return []
        ef = max(self._tuning.search_ef, limit)
        reply = await self._call(
            lambda timeout: self._client.query_points(
                _alias(key),
                query=query,
                using=using,
                query_filter=_filter(key, where),
                search_params=models.SearchParams(hnsw_ef=ef, exact=exact),
                limit=limit,
                with_payload=[BODY] if bodies else False,
                timeout=timeout,
            )
        )
        return reply.points

    async def _find(self, key: Key) -> tuple[str, Schema] | None:
        """The physical collection behind the alias, and what it keeps."""
        try:
            info = await self._call(lambda _: self._client.get_collection(_alias(key)))
        except (CollectionMissing, ValueError):  # the latter is the in-process client's word
            return None
        metadata = info.config.metadata or {}
        return metadata["physical"], schema_from_json(metadata)

    async def _index(self, physical: str, field: str, index: Any) -> None:
        await self._call(
            lambda timeout: self._client.create_payload_index(
                physical, field, index, wait=True, timeout=timeout
            )
        )

    async def _aliases(self, operations: Sequence[Any]) -> None:
        await self._call(
            lambda timeout: self._client.update_collection_aliases(operations, timeout=timeout)
        )

    async def _delete_collection(self, physical: str) -> None:
        await self._call(lambda timeout: self._client.delete_collection(physical, timeout=timeout))

    async def _call(self, make: Callable[[int], Awaitable[_Answer]]) -> _Answer:
        return await self._calls.call(make)


def _missing() -> CollectionMissing:
    return CollectionMissing("there is no collection of that name")


def _alias(key: Key) -> str:
    """No tenant and no collection may hold `~`."""
    return f"colloquy~{key.tenant}~{key.collection}~{'staged' if key.staged else 'live'}"


def _create(alias: str, physical: str) -> models.CreateAliasOperation:
    created = models.CreateAlias(alias_name=alias, collection_name=physical)
    return models.CreateAliasOperation(create_alias=created)


def _delete(alias: str) -> models.DeleteAliasOperation:
    return models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))


def _structs(batch: Batch) -> list[models.PointStruct]:
    columns = {name: rows.tolist() for name, rows in batch.vectors.items()}
    bounds, terms, weights = batch.starts.tolist(), batch.terms.tolist(), batch.weights.tolist()
    structs = []
    for place, (identity, payload) in enumerate(zip(batch.ids, batch.payloads, strict=True)):
        vector: dict[str, Any] = {name: rows[place] for name, rows in columns.items()}
        begin, end = bounds[place], bounds[place + 1]
        if end > begin:
            vector[BM25] = models.SparseVector(indices=terms[begin:end], values=weights[begin:end])
        structs.append(models.PointStruct(id=identity, vector=vector, payload=payload))
    return structs


def _point(record: models.Record) -> Point:
    vectors: dict[str, Any] = dict(record.vector) if isinstance(record.vector, dict) else {}
    sparse = vectors.pop(BM25, None)
    bm25 = SparseVector(tuple(sparse.indices), tuple(sparse.values)) if sparse else _NO_TERMS
    return point_of(str(record.id), vectors, bm25, _body(record.payload))


def _hits(found: Sequence[models.ScoredPoint]) -> list[Hit]:
    return [Hit(UUID(str(p.id)), p.score, payload_of(_body(p.payload))) for p in found]


def _body(payload: Mapping[str, Any] | None) -> str:
    body: str = (payload or {})[BODY]
    return body


def _filter(key: Key, where: Where) -> models.Filter:
    return models.Filter(must=[_condition(*one) for one in conditions(key.tenant, where)])


def _condition(kind: str, field: str, value: Any) -> Any:
    if kind == "any":
        return models.FieldCondition(key=field, match=models.MatchAny(any=value))
    if kind == "any_or_none":
        empty = models.IsEmptyCondition(is_empty=models.PayloadField(key=field))
        matched = models.FieldCondition(key=field, match=models.MatchAny(any=value))
        return models.Filter(should=[empty, matched] if value else [empty])
    if kind == "ids":
        return models.HasIdCondition(has_id=value)
    bounds = {"at_least": "gte", "at_most": "lte", "below": "lt"}
    return models.FieldCondition(key=field, range=models.Range(**{bounds[kind]: value}))
