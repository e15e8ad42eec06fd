"""A vector store in memory: exact, slow, and as the port says."""

import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from colloquy.contracts.operation import Check
from colloquy.servicekit.problems import CollectionMissing, Unavailable
from services.retriever.domain import (
    Hit,
    Key,
    Point,
    Schema,
    SparseVector,
    Vector,
    Where,
    unix_seconds,
)


class StoreDouble:
    """State and behaviour of a double.

    Attributes:
        down: while set, everything raises `Unavailable`.
        nearest_calls: the space, limit and exactness of every search by vector.
    """

    def __init__(self) -> None:
        self.down = False
        self.nearest_calls: list[tuple[str, int, bool]] = []
        self.optimised: list[Key] = []
        self._schemas: dict[Key, Schema] = {}
        self._points: dict[Key, dict[UUID, Point]] = {}

    async def open(self, key: Key, schema: Schema) -> Schema:
        self._up()
        self._points.setdefault(key, {})
        return self._schemas.setdefault(key, schema)

    async def drop(self, key: Key) -> bool:
        self._up()
        self._points.pop(key, None)
        return self._schemas.pop(key, None) is not None

    async def promote(self, key: Key) -> None:
        staged = Key(key.tenant, key.collection, staged=True)
        self._of(staged)
        self._schemas[key] = self._schemas.pop(staged)
        self._points[key] = self._points.pop(staged)

    async def schema(self, key: Key) -> Schema:
        self._of(key)
        return self._schemas[key]

    async def collections(self, tenant: str) -> list[str]:
        self._up()
        return sorted(
            key.collection for key in self._schemas if key.tenant == tenant and not key.staged
        )

    async def upsert(self, key: Key, points: Sequence[Point]) -> None:
        held = self._of(key)
        sizes = {space.name: space.dimensions for space in self._schemas[key].spaces}
        for point in points:
            assert point.payload["tenant"] == key.tenant
            if {name: len(vector) for name, vector in point.vectors.items()} != sizes:
                raise ValueError("a vector's name or size is wrong")
            if not all(np.isfinite(vector).all() for vector in point.vectors.values()):
                raise ValueError("a vector is not finite")
        held.update((point.id, point) for point in points)

    async def delete(self, key: Key, where: Where) -> int:
        held = self._of(key)
        gone = [point.id for point in held.values() if matches(point, where)]
        for id_ in gone:
            del held[id_]
        return len(gone)

    async def count(self, key: Key, where: Where) -> int:
        return sum(matches(point, where) for point in self._of(key).values())

    async def scroll(
        self, key: Key, where: Where, limit: int, cursor: UUID | None
    ) -> tuple[list[Point], UUID | None]:
        chosen = sorted(
            (p for p in self._of(key).values() if matches(p, where)), key=lambda p: p.id
        )
        chosen = [p for p in chosen if cursor is None or p.id >= cursor]
        following = chosen[limit].id if len(chosen) > limit else None
        return chosen[:limit], following

    async def nearest(
        self, key: Key, space: str, vector: Vector, where: Where, limit: int, *, exact: bool
    ) -> list[Hit]:
        self.nearest_calls.append((space, limit, exact))
        return self._best(
            key, where, limit, lambda point: float(np.dot(point.vectors[space], vector))
        )

    async def matching(self, key: Key, terms: SparseVector, where: Where, limit: int) -> list[Hit]:
        points = list(self._of(key).values())
        frequency = Counter(term for point in points for term in point.bm25.indices)

        def score(point: Point) -> float:
            weights = dict(zip(point.bm25.indices, point.bm25.values, strict=True))
            return sum(
                weight
                * weights.get(term, 0.0)
                * math.log(1 + (len(points) - frequency[term] + 0.5) / (frequency[term] + 0.5))
                for term, weight in zip(terms.indices, terms.values, strict=True)
            )

        return [hit for hit in self._best(key, where, limit, score) if hit.score > 0]

    async def similarities(
        self, key: Key, space: str, vector: Vector, ids: Sequence[UUID]
    ) -> Mapping[UUID, float]:
        held = self._of(key)
        return {id_: float(np.dot(held[id_].vectors[space], vector)) for id_ in ids if id_ in held}

    async def optimise(self, key: Key) -> None:
        self._of(key)
        self.optimised.append(key)

    async def unindexed(self, key: Key) -> int:
        return len(self._of(key))

    def checks(self) -> list[Check]:
        return [Check(name="store", ready=not self.down)]

    def points(self, tenant: str, collection: str) -> list[Point]:
        return list(self._points[Key(tenant, collection)].values())

    def _up(self) -> None:
        if self.down:
            raise Unavailable("the store cannot be reached")

    def _of(self, key: Key) -> dict[UUID, Point]:
        self._up()
        if key not in self._schemas:
            raise CollectionMissing
        return self._points[key]

    def _best(
        self, key: Key, where: Where, limit: int, score: Callable[[Point], float]
    ) -> list[Hit]:
        hits = [
            Hit(point.id, score(point), point.payload)
            for point in self._of(key).values()
            if matches(point, where)
        ]
        return sorted(hits, key=lambda hit: -hit.score)[:limit]


def opens(store: StoreDouble) -> Any:
    """What a service takes as `open_store`."""

    @asynccontextmanager
    async def open_store(
        settings: Any, state_dir: Path, *, api_key: Any
    ) -> AsyncIterator[StoreDouble]:
        yield store

    return open_store


def matches(point: Point, where: Where) -> bool:
    told = point.payload
    times = (told.get("time_from"), told.get("time_to"))
    metadata = set(told["metadata"])
    return all(
        (
            where.ids is None or point.id in where.ids,
            where.dialogue_ids is None or told["dialogue_id"] in where.dialogue_ids,
            where.speakers is None or bool(set(told["speakers"]) & set(where.speakers)),
            where.after is None or (times[1] is not None and times[1] >= unix_seconds(where.after)),
            where.before is None
            or (times[0] is not None and times[0] <= unix_seconds(where.before)),
            all(metadata & set(terms) for terms in where.metadata.values()),
            where.labels is None or not told["acl"] or bool(set(told["acl"]) & set(where.labels)),
            where.before_revision is None or told["revision"] < where.before_revision,
        )
    )
