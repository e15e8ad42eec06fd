"""Vector stores to try, and points to put into them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient

from services.retriever.domain import (
    Key,
    Point,
    Schema,
    SpaceSchema,
    SparseVector,
    Where,
    metadata_terms,
)
from services.retriever.vector_store import VectorStore
from services.retriever.vector_store_edge import EdgeStore, EdgeTuning
from services.retriever.vector_store_server import ServerStore

DIMENSIONS = 8
SCHEMA = Schema(
    "dialogues",
    (SpaceSchema("clip", "clip@1", DIMENSIONS), SpaceSchema("lamra", "lamra@2", DIMENSIONS)),
)
KEY = Key("acme", "talks")
STAGED = Key("acme", "talks", staged=True)
EVERYTHING = Where()
HAS_NO_INDEXES = [
    pytest.mark.filterwarnings(f"ignore:{words}:UserWarning")
    for words in ("Payload indexes have no effect", "Local mode performs exact")
]


@asynccontextmanager
async def edge_store(folder: Path, **tuning: Any) -> AsyncIterator[EdgeStore]:
    async with EdgeStore(folder, EdgeTuning(**tuning)) as store:
        yield store


@asynccontextmanager
async def server_store() -> AsyncIterator[ServerStore]:
    """Over the client's in-process form; its tests are marked `HAS_NO_INDEXES`."""
    client = AsyncQdrantClient(":memory:")
    try:
        yield ServerStore(client)
    finally:
        await client.close()


def identity(number: int) -> UUID:
    return UUID(int=(number + 1) << 64)


def direction(angle: float, dimensions: int = DIMENSIONS) -> list[float]:
    """A unit vector; the cosine of two is that of the difference of their angles, in degrees."""
    radians = np.deg2rad(angle)
    vector = [0.0] * dimensions
    vector[0], vector[1] = float(np.cos(radians)), float(np.sin(radians))
    return vector


def terms(weights: Mapping[int, float]) -> SparseVector:
    return SparseVector(tuple(sorted(weights)), tuple(weights[term] for term in sorted(weights)))


def point(
    number: int,
    *,
    angle: float = 0.0,
    words: Mapping[int, float] | None = None,
    dialogue: str = "d1",
    revision: int = 1,
    speakers: Sequence[str] = ("ann",),
    times: tuple[float, float] | None = None,
    metadata: Mapping[str, Any] | None = None,
    acl: Sequence[str] = (),
    record: Any = None,
    tenant: str = "acme",
) -> Point:
    payload: dict[str, Any] = {
        "record": record if record is not None else {"number": number},
        "tenant": tenant,
        "dialogue_id": dialogue,
        "revision": revision,
        "speakers": list(speakers),
        "metadata": metadata_terms(metadata or {}),
        "acl": list(acl),
    }
    if times is not None:
        payload["time_from"], payload["time_to"] = times
    vectors = {"clip": direction(angle), "lamra": direction(-angle)}
    return Point(identity(number), vectors, terms(words or {}), payload)


async def numbers(store: VectorStore, key: Key, where: Where = EVERYTHING) -> list[int]:
    """Which points are stored, by the number in their record, in the order of the store."""
    found: list[int] = []
    cursor: UUID | None = None
    while True:
        page, cursor = await store.scroll(key, where, 100, cursor)
        found += [p.payload["record"]["number"] for p in page]
        if cursor is None:
            return found
