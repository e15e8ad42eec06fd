"""What the retriever thinks in: points of a collection, and how a store is asked for them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from colloquy.contracts.content import Value

Vector = Sequence[float]
"""(dimensions,), of length 1."""


@dataclass(frozen=True, slots=True)
class SparseVector:
    """Term ids, ascending and unique, and the weight of each."""

    indices: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SpaceSchema:
    """Attributes:
    revision: of the model; vectors of two revisions are never compared.
    """

    name: str
    revision: str
    dimensions: int


@dataclass(frozen=True, slots=True)
class Schema:
    """A collection as the store knows it. Beside its spaces there is always `bm25`."""

    kind: str
    spaces: tuple[SpaceSchema, ...]


@dataclass(frozen=True, slots=True)
class Key:
    """One collection of one tenant; `staged` is the copy that a reindex builds beside it."""

    tenant: str
    collection: str
    staged: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """Attributes:
    vectors: one for each space of the collection.
    payload: JSON; `record` is the fragment as it came, the other fields are those of `Where`:
        tenant, dialogue_id, revision, speakers, time_from, time_to (unix seconds, or absent),
        metadata (see `metadata_terms`), acl.
    """

    id: UUID
    vectors: Mapping[str, Vector]
    bm25: SparseVector
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Where:
    """Which points; every given field must hold. The tenant is added by the store, always.

    Attributes:
        speakers, dialogue_ids: any of them.
        after, before: the fragment's time overlaps [after, before]; one without times never does.
        metadata: for each name, any of its values, as `metadata_terms` writes them.
        labels: the point's `acl` is empty or holds one of them; None sees everything.
        before_revision: only what an older revision left.
    """

    ids: tuple[UUID, ...] | None = None
    dialogue_ids: tuple[str, ...] | None = None
    speakers: tuple[str, ...] | None = None
    after: datetime | None = None
    before: datetime | None = None
    metadata: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    labels: tuple[str, ...] | None = None
    before_revision: int | None = None

    @property
    def is_everything(self) -> bool:
        return self == Where()


@dataclass(frozen=True, slots=True)
class Hit:
    """A point that a method proposes, with its score in that method."""

    id: UUID
    score: float
    payload: Mapping[str, Any]


def metadata_terms(metadata: Mapping[str, Value]) -> list[str]:
    """One string for each pair, equal exactly when name and value are: `"name"=value`, both JSON.

    The name is quoted, so one that holds `=` cannot be read as another pair. Numbers are compared
    as numbers: 1 and 1.0 are one value; 1, "1" and true are three.
    """
    return [f"{json.dumps(name)}={_canonical(value)}" for name, value in metadata.items()]


def unix_seconds(moment: datetime) -> float:
    """A moment without a zone is taken for UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _canonical(value: Value) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, allow_nan=False)
