"""One shard of Qdrant Edge: made, opened, written, asked. Runs in workers only: calls hold the GIL.

Knows nothing of the project but frames, so that a worker starts quickly.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

import numpy as np
import qdrant_edge as edge

from services.retriever.edge_wire import Message, decode, read_frame

_KINDS = {
    "float": edge.PayloadSchemaType.Float,
    "integer": edge.PayloadSchemaType.Integer,
}
# Every point of a collection has the same tenant: a graph for it alone would be the graph again.
_NO_GRAPH_OF_ITS_OWN = frozenset({"tenant"})
# Filtered searches that match less than this are scans; the library's own default.
_SCAN_BELOW_KIB = 10_000
_ALL = 2**31


def create(folder: Path, head: Mapping[str, Any]) -> None:
    """Makes an empty shard and leaves it closed, on disk.

    `head` holds `spaces` (name → dimensions), `sparse` (its name), `indexed` (field → kind), and
    the graph's `links` and `effort`.
    """
    folder.mkdir(parents=True)
    shard = edge.EdgeShard.create(
        str(folder),
        edge.EdgeConfig(
            vectors={
                name: edge.EdgeVectorParams(size, edge.Distance.Cosine)
                for name, size in head["spaces"].items()
            },
            sparse_vectors={
                head["sparse"]: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)
            },
            hnsw_config=edge.HnswIndexConfig(head["links"], head["effort"], _SCAN_BELOW_KIB),
            # Nothing is built until it is asked for; then everything is, however little.
            optimizers=edge.EdgeOptimizersConfig(indexing_threshold=1, default_segment_number=1),
            wal_enabled=True,
        ),
    )
    for field, kind in head["indexed"].items():
        schema = (
            edge.KeywordIndexParams(enable_hnsw=field not in _NO_GRAPH_OF_ITS_OWN)
            if kind == "keyword"
            else _KINDS[kind]
        )
        shard.update(edge.UpdateOperation.create_field_index(field, schema))
    shard.flush()
    shard.close()


def upsert(shard: edge.EdgeShard, message: Message) -> None:
    """`head`: `ids`, `payloads`, `spaces` (names), `sparse`. Arrays: the vectors of each space
    (points, dimensions), then starts, terms and weights of the sparse vectors."""
    head = message.head
    *dense, starts, terms, weights = message.arrays
    rows = [array.tolist() for array in dense]
    points = []
    for place, (identity, payload) in enumerate(zip(head["ids"], head["payloads"], strict=True)):
        vector: dict[str, Any] = {
            name: rows[space][place] for space, name in enumerate(head["spaces"])
        }
        begin, end = int(starts[place]), int(starts[place + 1])
        if end > begin:
            vector[head["sparse"]] = edge.SparseVector(
                terms[begin:end].tolist(), weights[begin:end].tolist()
            )
        points.append(edge.Point(UUID(identity), vector, payload))
    shard.update(edge.UpdateOperation.upsert_points(points))


def delete(shard: edge.EdgeShard, message: Message) -> int:
    """Deletes what meets `head["where"]`; returns how many that was."""
    count = shard.count(edge.CountRequest(exact=True, filter=to_filter(message.head["where"])))
    if count:
        wanted = to_filter(message.head["where"])
        shard.update(edge.UpdateOperation.delete_points_by_filter(wanted))
    return count


def apply_write(shard: edge.EdgeShard, message: Message) -> int:
    """One write, from a request or from a journal; returns how many points went, if any."""
    if message.head["do"] == "delete":
        return delete(shard, message)
    upsert(shard, message)
    return 0


def replay(shard: edge.EdgeShard, journal: BinaryIO, offset: int) -> int:
    """Applies the writes that stand in `journal` from `offset`; returns where the next will."""
    journal.seek(offset)
    while (frame := read_frame(journal)) is not None:
        apply_write(shard, decode(frame))
        offset = journal.tell()
    return offset


def state(shard: edge.EdgeShard) -> dict[str, int]:
    """`indexed` counts every sparse vector, and the dense ones that are in a graph."""
    info = shard.info()
    return {"points": info.points_count, "indexed": info.indexed_vectors_count}


def search(shard: edge.EdgeShard, message: Message) -> Message:
    """Scores, ids and bodies, best first. Arrays: a dense vector, or terms and weights."""
    head = message.head
    query = (
        message.arrays[0].tolist()
        if len(message.arrays) == 1
        else edge.SparseVector(message.arrays[0].tolist(), message.arrays[1].tolist())
    )
    found: list[Any] = shard.query(
        edge.QueryRequest(
            limit=head["limit"],
            query=edge.Query.Nearest(query, using=head["using"]),
            filter=to_filter(head["where"]),
            with_payload=[head["body"]] if head["body"] else False,
            params=edge.SearchParams(hnsw_ef=head["ef"], exact=head["exact"]),
        )
    )
    bodies = [point.payload[head["body"]] for point in found] if head["body"] else []
    return Message(
        {
            "ids": [str(point.id) for point in found],
            "scores": [point.score for point in found],
            "bodies": bodies,
        }
    )


def scroll(shard: edge.EdgeShard, message: Message) -> Message:
    """A page in order of ids, with vectors; `next` is where the following page begins."""
    head = message.head
    page: tuple[list[Any], Any] = shard.scroll(
        edge.ScrollRequest(
            limit=head["limit"],
            offset=UUID(head["cursor"]) if head["cursor"] else None,
            filter=to_filter(head["where"]),
            with_payload=[head["body"]],
            with_vector=True,
        )
    )
    records, following = page
    dense = [
        np.array([record.vector[name] for record in records], np.float32) for name in head["spaces"]
    ]
    empty = edge.SparseVector([], [])
    sparse = [record.vector.get(head["sparse"], empty) for record in records]
    indices = [vector.indices for vector in sparse]
    values = [vector.values for vector in sparse]
    reply = {
        "ids": [str(record.id) for record in records],
        "bodies": [record.payload[head["body"]] for record in records],
        "next": str(following) if following is not None else None,
    }
    starts = np.cumsum([0] + [len(row) for row in indices], dtype=np.uint32)
    terms = np.array([term for row in indices for term in row], np.uint32)
    weights = np.array([weight for row in values for weight in row], np.float32)
    return Message(reply, [*dense, starts, terms, weights])


def count(shard: edge.EdgeShard, message: Message) -> Message:
    wanted = edge.CountRequest(exact=True, filter=to_filter(message.head["where"]))
    return Message({"count": shard.count(wanted)})


def to_filter(conditions: Sequence[Sequence[Any]]) -> edge.Filter:
    return edge.Filter(must=[_condition(*condition) for condition in conditions])


def _condition(kind: str, field: str, value: Any) -> Any:
    if kind == "any":
        return edge.FieldCondition(field, match=edge.MatchAny(value))
    if kind == "any_or_none":
        matched = edge.FieldCondition(field, match=edge.MatchAny(value))
        return edge.Filter(should=[edge.IsEmptyCondition(field), matched])
    if kind == "ids":
        return edge.HasIdCondition({UUID(identity) for identity in value})
    bounds = {
        "at_least": {"gte": value},
        "at_most": {"lte": value},
        "below": {"lt": value},
    }
    return edge.FieldCondition(field, range=edge.RangeFloat(**bounds[kind]))
