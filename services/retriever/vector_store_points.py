"""What both stores agree on: which vectors are accepted, what is stored, and what `Where` means."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from colloquy.contracts.retrieval import BM25
from services.retriever.domain import (
    Point,
    Schema,
    SpaceSchema,
    SparseVector,
    Vector,
    Where,
    unix_seconds,
)

BODY = "body"
"""The payload as it came, in JSON: a store need not keep big integers, key order or depth."""

INDEXED: Mapping[str, Literal["keyword", "float", "integer"]] = {
    "tenant": "keyword",
    "dialogue_id": "keyword",
    "speakers": "keyword",
    "metadata": "keyword",
    "acl": "keyword",
    "time_from": "float",
    "time_to": "float",
    "revision": "integer",
}
"""Fields that `Where` asks for; they stand beside the body, and have an index each."""

_MAX_TERM = 2**32 - 1
_MAX_DIMENSIONS = 65_536
# Of encoders in half precision; a vector further off was never normalised.
_LENGTH_TOLERANCE = 1e-2


class Condition(NamedTuple):
    """One of the conditions that all must hold. It crosses to a worker as JSON.

    Kinds: `any` of the values; `any_or_none` of the values, or the field is empty; `ids`; and
    `at_least`, `at_most`, `below` a number, which a point without the field never is.
    """

    kind: Literal["any", "any_or_none", "ids", "at_least", "at_most", "below"]
    field: str
    value: Any


def conditions(tenant: str, where: Where) -> list[Condition]:
    """`where` for points of `tenant`: the one place that says what it means."""
    found = [Condition("any", "tenant", [tenant])]
    if where.ids is not None:
        found.append(Condition("ids", "", [str(identity) for identity in where.ids]))
    if where.dialogue_ids is not None:
        found.append(Condition("any", "dialogue_id", list(where.dialogue_ids)))
    if where.speakers is not None:
        found.append(Condition("any", "speakers", list(where.speakers)))
    found += [Condition("any", "metadata", list(terms)) for terms in where.metadata.values()]
    if where.labels is not None:
        found.append(Condition("any_or_none", "acl", list(where.labels)))
    if where.after is not None:
        found.append(Condition("at_least", "time_to", unix_seconds(where.after)))
    if where.before is not None:
        found.append(Condition("at_most", "time_from", unix_seconds(where.before)))
    if where.before_revision is not None:
        found.append(Condition("below", "revision", where.before_revision))
    return found


def selects_nothing(where: Where) -> bool:
    """Whether a list that must hold one of its values has none, so that nothing can match."""
    lists = (where.ids, where.dialogue_ids, where.speakers, *where.metadata.values())
    return any(values is not None and not values for values in lists)


@dataclass(frozen=True, slots=True)
class Batch:
    """Points in columns, checked.

    Attributes:
        vectors: for each space (points, dimensions).
        starts: (points + 1,), where each point's terms begin in `terms` and `weights`.
        payloads: the indexed fields and the body of each.
    """

    ids: list[str]
    vectors: dict[str, NDArray[np.float32]]
    starts: NDArray[np.uint32]
    terms: NDArray[np.uint32]
    weights: NDArray[np.float32]
    payloads: list[dict[str, Any]]


def checked_batch(tenant: str, schema: Schema, points: Sequence[Point]) -> Batch:
    """`points` as they are stored; of points with one id the last.

    Raises:
        ValueError: a vector's name, size, length or finiteness is wrong, or a payload is no JSON.
    """
    points = list({point.id: point for point in points}.values())
    names = {space.name for space in schema.spaces}
    for place, point in enumerate(points):
        if set(point.vectors) != names:
            raise ValueError(f"point {place}: its vectors are not those of the collection's spaces")
        check_terms(point.bm25, f"point {place}")
    starts = np.cumsum([0] + [len(point.bm25.indices) for point in points], dtype=np.uint32)
    return Batch(
        ids=[str(point.id) for point in points],
        vectors={
            space.name: _unit_vectors(space, [point.vectors[space.name] for point in points])
            for space in schema.spaces
        },
        starts=starts,
        terms=np.array([term for p in points for term in p.bm25.indices], dtype=np.uint32),
        weights=np.array([weight for p in points for weight in p.bm25.values], dtype=np.float32),
        payloads=[_stored(tenant, point.payload) for point in points],
    )


def checked_query(schema: Schema, space: str, vector: Vector) -> NDArray[np.float32]:
    """(dimensions,), as `space` of the collection is asked.

    Raises:
        ValueError: there is no such space, or the vector is none of it.
    """
    for known in schema.spaces:
        if known.name == space:
            row: NDArray[np.float32] = _unit_vectors(known, [vector])[0]
            return row
    raise ValueError(f"the collection has no space `{space}`")


def check_terms(terms: SparseVector, name: str = "the query") -> None:
    """Raises:
    ValueError: they are not ascending and unique, or a weight is not finite."""
    indices, values = terms.indices, terms.values
    if len(indices) != len(values):
        raise ValueError(f"{name}: as many weights as terms are needed")
    if any(a >= b for a, b in pairwise(indices)):
        raise ValueError(f"{name}: terms must be ascending and unique")
    if indices and not 0 <= indices[0] <= indices[-1] <= _MAX_TERM:
        raise ValueError(f"{name}: a term is not in 0..{_MAX_TERM}")
    with np.errstate(over="ignore"):
        finite = np.isfinite(np.asarray(values, dtype=np.float32)).all()
    if not finite:
        raise ValueError(f"{name}: a weight is not finite")


def check_schema(schema: Schema) -> None:
    """Raises:
    ValueError: no store can keep such a collection."""
    names = [space.name for space in schema.spaces]
    if not names or len(set(names)) != len(names) or BM25 in names:
        raise ValueError(f"spaces need names of their own, other than `{BM25}`")
    if any(not 0 < space.dimensions <= _MAX_DIMENSIONS for space in schema.spaces):
        raise ValueError(f"a space has 1 to {_MAX_DIMENSIONS} dimensions")


def payload_of(body: str) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(body)
    return payload


def schema_to_json(schema: Schema) -> dict[str, Any]:
    spaces = [
        {"name": space.name, "revision": space.revision, "dimensions": space.dimensions}
        for space in schema.spaces
    ]
    return {"kind": schema.kind, "spaces": spaces}


def schema_from_json(data: Mapping[str, Any]) -> Schema:
    return Schema(data["kind"], tuple(SpaceSchema(**space) for space in data["spaces"]))


def point_of(identity: str, vectors: Mapping[str, Vector], bm25: SparseVector, body: str) -> Point:
    return Point(UUID(identity), vectors, bm25, payload_of(body))


def _stored(tenant: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: payload[name] for name in INDEXED if payload.get(name) is not None}
    body = json.dumps(dict(payload), ensure_ascii=False, allow_nan=False)
    body.encode()  # half a surrogate pair is no text
    return {**fields, "tenant": tenant, BODY: body}


def _unit_vectors(space: SpaceSchema, vectors: Sequence[Vector]) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is refused
            rows = np.asarray(vectors, dtype=np.float32)
    except (ValueError, TypeError):
        rows = np.empty((0, 0), dtype=np.float32)
    if not vectors:
        return np.empty((0, space.dimensions), dtype=np.float32)
    if rows.shape != (len(vectors), space.dimensions):
        raise ValueError(f"a vector of `{space.name}` is not {space.dimensions} numbers")
    if not np.isfinite(rows).all():
        raise ValueError(f"a vector of `{space.name}` holds a number that is not finite")
    with np.errstate(over="ignore"):
        lengths = np.linalg.norm(rows, axis=1)
    if (np.abs(lengths - 1) > _LENGTH_TOLERANCE).any():
        raise ValueError(f"a vector of `{space.name}` is not of length 1")
    return rows
