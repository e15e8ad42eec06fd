"""Search and ingestion by size: our embedded store, a FAISS flat scan, and the client's local mode.

Vectors only, so that encoders hide nothing. They are 512 numbers that vary in 48 directions around
2,000 centres, as embeddings do, and a query is a fresh draw, not a point with noise.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from benchmarks.others import run_faiss
from services.retriever.domain import Key, Point, Schema, SpaceSchema, SparseVector, Where
from services.retriever.vector_store import VectorStore
from services.retriever.vector_stores import StoreSettings, open_store

SIZES = (1_000, 10_000, 100_000)
DIMENSIONS = 512
QUERIES = 200
TOP = 10
BATCH = 256
OURS, FAISS, LOCAL = "Colloquy's embedded store", "FAISS, flat scan", "qdrant-client, local mode"
_DIRECTIONS, _CENTRES = 48, 2_000
_SPACE = "clip"


async def measure() -> dict[str, Any]:
    """Milliseconds a search, recall of the ten nearest, points stored a second.

    Raises:
        OthersFailed: FAISS cannot be run.
    """
    found: dict[str, Any] = {"dimensions": DIMENSIONS, "queries": QUERIES, "sizes": {}}
    with tempfile.TemporaryDirectory(prefix="colloquy-bench-") as name:
        folder = Path(name)
        vectors, queries = _drawn()
        np.save(folder / "queries.npy", queries)
        for size in SIZES:
            np.save(folder / f"{size}.npy", vectors[:size])
        lines = await asyncio.to_thread(run_faiss, folder, [str(size) for size in SIZES])
        scans = {record["name"]: record for record in map(json.loads, lines.splitlines())}
        for size in SIZES:
            exact: list[list[int]] = scans[str(size)]["nearest"]
            found["sizes"][str(size)] = {
                FAISS: _of(scans[str(size)]["seconds"], exact, exact)
                | {"points_per_s": round(size / scans[str(size)]["built_s"])},
                OURS: await _ours(folder / f"edge-{size}", vectors[:size], queries, exact),
                LOCAL: await asyncio.to_thread(_local, folder, size, exact),
            }
    return found


def _drawn() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(points, dimensions) and (queries, dimensions), of unit length."""
    chance = np.random.default_rng(20261121)
    basis = chance.normal(size=(_DIRECTIONS, DIMENSIONS))
    centres = chance.normal(size=(_CENTRES, _DIRECTIONS))

    def draw(count: int) -> NDArray[np.float32]:
        inner = centres[chance.integers(_CENTRES, size=count)]
        inner = inner + chance.normal(scale=0.7, size=inner.shape)
        outer = inner @ basis
        outer /= np.linalg.norm(outer, axis=1, keepdims=True)
        return np.ascontiguousarray(outer, dtype=np.float32)

    return draw(max(SIZES)), draw(QUERIES)


async def _ours(
    folder: Path,
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    exact: Sequence[Sequence[int]],
) -> dict[str, Any]:
    key = Key("bench", "vectors")
    folder.mkdir()  # noqa: ASYNC240  # nothing else runs yet
    async with open_store(StoreSettings(), folder) as store:
        await store.open(key, Schema("dialogues", (SpaceSchema(_SPACE, "bench@1", DIMENSIONS),)))
        stored = await _fill(store, key, vectors)
        before = await _search(store, key, queries)
        start = time.perf_counter()
        await store.optimise(key)
        optimised = time.perf_counter() - start
        after = await _search(store, key, queries)
    return _of(*after, exact) | {
        "points_per_s": round(len(vectors) / stored),
        "unoptimised_ms": _of(*before, exact)["p50_ms"],
        "optimise_s": round(optimised, 1),
    }


async def _fill(store: VectorStore, key: Key, vectors: NDArray[np.float32]) -> float:
    batches = []
    for at in range(0, len(vectors), BATCH):
        batches.append(
            [_point(at + place, row) for place, row in enumerate(vectors[at : at + BATCH])]
        )
    start = time.perf_counter()
    for batch in batches:
        await store.upsert(key, batch)
    return time.perf_counter() - start


def _point(number: int, vector: NDArray[np.float32]) -> Point:
    terms = SparseVector((number % 5_000, 5_000 + number % 7_001), (1.0, 1.0))
    payload = {
        "tenant": "bench",
        "dialogue_id": str(number),
        "revision": 0,
        "speakers": ["user1"],
        "metadata": [],
        "acl": [],
        "record": {},
    }
    return Point(UUID(int=number), {_SPACE: vector.tolist()}, terms, payload)


async def _search(
    store: VectorStore, key: Key, queries: NDArray[np.float32]
) -> tuple[list[float], list[list[int]]]:
    seconds, nearest = [], []
    for query in queries:
        vector = query.tolist()
        start = time.perf_counter()
        hits = await store.nearest(key, _SPACE, vector, Where(), TOP, exact=False)
        seconds.append(time.perf_counter() - start)
        nearest.append([hit.id.int for hit in hits])
    return seconds, nearest


def _local(folder: Path, size: int, exact: Sequence[Sequence[int]]) -> dict[str, Any]:
    """In a process of its own: it keeps every vector in Python's memory."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.local_mode_worker", str(folder), str(size)],
        capture_output=True,
        text=True,
        check=True,
    )
    record = json.loads(done.stdout)
    return _of(record["seconds"], record["nearest"], exact) | {
        "points_per_s": round(size / record["stored_s"])
    }


def _of(
    seconds: Sequence[float], nearest: Sequence[Sequence[int]], exact: Sequence[Sequence[int]]
) -> dict[str, Any]:
    shared = [len(set(a) & set(b)) / TOP for a, b in zip(nearest, exact, strict=True)]
    ordered = sorted(seconds)
    return {
        "p50_ms": round(statistics.median(ordered) * 1_000, 3),
        "p95_ms": round(ordered[int(len(ordered) * 0.95)] * 1_000, 3),
        "recall_at_10": round(statistics.mean(shared), 4),
    }
