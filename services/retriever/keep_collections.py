"""Collections: opened, told, staged and promoted, dropped."""

from colloquy.contracts.retrieval import (
    CollectionRef,
    CollectionsOf,
    CollectionState,
    CollectionStates,
    Done,
    OpenCollection,
    PromoteStaged,
    SpaceState,
    StagedRef,
)
from colloquy.media.failures import at_place
from colloquy.servicekit.problems import CollectionMissing, Conflict, Malformed
from services.retriever.domain import Key, Schema, SpaceSchema, Where
from services.retriever.spaces import OpenSpaces
from services.retriever.vector_store import VectorStore


def key_of(ref: CollectionRef) -> Key:
    staged = isinstance(ref, StagedRef) and ref.staged
    return Key(ref.tenant, ref.collection, staged)


class KeepCollections:
    """The use cases."""

    def __init__(self, store: VectorStore, spaces: OpenSpaces) -> None:
        self._store = store
        self._spaces = spaces

    async def open(self, body: OpenCollection) -> CollectionState:
        """
        Raises:
            Malformed: the installation has no such space, or one is named twice.
            Conflict: the collection is there, of another kind or with other spaces.
            Unavailable: the model of a space is not there, so its size is not known.
        """
        key = key_of(body)
        try:
            has = await self._store.schema(key)
        except CollectionMissing:
            has = await self._store.open(key, await self._wanted(body))
        self._compare(body, has)
        return await self._state(key, has)

    async def state(self, body: CollectionRef) -> CollectionState:
        key = key_of(body)
        return await self._state(key, await self._store.schema(key))

    async def list(self, body: CollectionsOf) -> CollectionStates:
        states = []
        for name in await self._store.collections(body.tenant):
            key = Key(body.tenant, name)
            try:
                states.append(await self._state(key, await self._store.schema(key)))
            except CollectionMissing:  # dropped since
                continue
        return CollectionStates(collections=states)

    async def drop(self, body: CollectionRef) -> Done:
        """
        Raises:
            CollectionMissing: there is none.
        """
        if not await self._store.drop(key_of(body)):
            raise CollectionMissing
        return Done()

    async def promote(self, body: PromoteStaged) -> CollectionState:
        key = key_of(body)
        await self._store.promote(key)
        return await self._state(key, await self._store.schema(key))

    async def optimise(self, body: CollectionRef) -> Done:
        await self._store.optimise(key_of(body))
        return Done()

    async def _wanted(self, body: OpenCollection) -> Schema:
        spaces = []
        for place, name in enumerate(body.spaces):
            if name not in self._spaces:
                why = "this installation has no such space"
                raise at_place(Malformed, f"body/spaces/{place}", why)
            if name in body.spaces[:place]:
                raise at_place(Malformed, f"body/spaces/{place}", "is named twice")
            identity = await self._spaces[name].identity()
            spaces.append(SpaceSchema(name, identity.revision, identity.dimensions))
        return Schema(body.kind, tuple(spaces))

    def _compare(self, body: OpenCollection, has: Schema) -> None:
        if has.kind != body.kind:
            raise Conflict(f"the collection holds {has.kind}")
        if {space.name for space in has.spaces} != set(body.spaces):
            names = ", ".join(f"`{space.name}`" for space in has.spaces)
            raise Conflict(f"the collection has the spaces {names}")

    async def _state(self, key: Key, schema: Schema) -> CollectionState:
        return CollectionState(
            collection=key.collection,
            kind=schema.kind,
            spaces=[
                SpaceState(
                    name=space.name,
                    revision=space.revision,
                    dimensions=space.dimensions,
                    current=self._is_current(space),
                )
                for space in schema.spaces
            ],
            fragments=await self._store.count(key, Where()),
        )

    def _is_current(self, space: SpaceSchema) -> bool:
        """A model that is not there right now is no other model."""
        if space.name not in self._spaces:
            return False
        known = self._spaces[space.name].known
        return known is None or known.revision == space.revision
