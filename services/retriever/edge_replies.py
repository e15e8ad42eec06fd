"""What a worker of Qdrant Edge replied, in the retriever's words."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from services.retriever.domain import Hit, Point, SparseVector
from services.retriever.edge_wire import Message
from services.retriever.vector_store_points import payload_of, point_of


def hits_of(found: Mapping[str, Any]) -> list[Hit]:
    rows = zip(found["ids"], found["scores"], found["bodies"], strict=True)
    return [Hit(UUID(identity), score, payload_of(body)) for identity, score, body in rows]


def points_of(spaces: Sequence[str], page: Message) -> list[Point]:
    """Points of a page whose arrays are the vectors of each of `spaces`, then starts, terms and
    weights."""
    *dense, starts, terms, weights = page.arrays
    columns = [array.tolist() for array in dense]
    bounds, flat_terms, flat_weights = starts.tolist(), terms.tolist(), weights.tolist()
    points = []
    for place, (identity, body) in enumerate(
        zip(page.head["ids"], page.head["bodies"], strict=True)
    ):
        vectors = {name: columns[space][place] for space, name in enumerate(spaces)}
        begin, end = bounds[place], bounds[place + 1]
        bm25 = SparseVector(tuple(flat_terms[begin:end]), tuple(flat_weights[begin:end]))
        points.append(point_of(identity, vectors, bm25, body))
    return points
