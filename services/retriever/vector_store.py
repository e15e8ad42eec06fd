"""The port to a vector store: what the retriever needs of Qdrant, embedded or as a server."""

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from colloquy.contracts.operation import Check
from services.retriever.domain import Hit, Key, Point, Schema, SparseVector, Vector, Where


class VectorStore(Protocol):
    """Keeps points of collections, each tenant's apart.

    Every method raises `CollectionMissing` for a collection that is not open, `Unavailable` while
    the store cannot be reached, and nothing of the store's own.
    """

    async def open(self, key: Key, schema: Schema) -> Schema:
        """Makes the collection if it is not there; returns the schema it has.

        The caller compares: a collection keeps the schema it was made with.
        """
        ...

    async def drop(self, key: Key) -> bool:
        """Deletes the collection with all its points; false when there was none."""
        ...

    async def promote(self, key: Key) -> None:
        """The staged copy of `key` becomes the collection, at once and whole; the old one goes."""
        ...

    async def schema(self, key: Key) -> Schema: ...

    async def collections(self, tenant: str) -> list[str]: ...

    async def upsert(self, key: Key, points: Sequence[Point]) -> None:
        """Stores or replaces; returns when a crash cannot lose them.

        Raises:
            ValueError: a vector's name, size or finiteness is wrong; nothing was stored.
        """
        ...

    async def delete(self, key: Key, where: Where) -> int:
        """Deletes what is selected; returns how many. As durable as `upsert`."""
        ...

    async def count(self, key: Key, where: Where) -> int: ...

    async def scroll(
        self, key: Key, where: Where, limit: int, cursor: UUID | None
    ) -> tuple[list[Point], UUID | None]:
        """A page in order of ids, beginning at `cursor`, and where the next begins."""
        ...

    async def nearest(
        self, key: Key, space: str, vector: Vector, where: Where, limit: int, *, exact: bool
    ) -> list[Hit]:
        """By cosine, best first."""
        ...

    async def matching(self, key: Key, terms: SparseVector, where: Where, limit: int) -> list[Hit]:
        """By BM25 (the store applies the inverse document frequency), best first."""
        ...

    async def similarities(
        self, key: Key, space: str, vector: Vector, ids: Sequence[UUID]
    ) -> Mapping[UUID, float]:
        """The cosine of known points: hits of BM25 need one too."""
        ...

    async def optimise(self, key: Key) -> None:
        """Builds the graph over what is not in it yet; queries and writes go on meanwhile."""
        ...

    async def unindexed(self, key: Key) -> int:
        """How many points are not in the graph yet, and are found by comparing each; about."""
        ...

    def checks(self) -> list[Check]: ...
