"""Collections: made, described, listed, dropped."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from colloquy.contracts.collections import Collection, CollectionList
from colloquy.contracts.indexing import ListCollections, PutCollection
from colloquy.contracts.retrieval import CollectionRef, Done
from colloquy.media.failures import at_place
from colloquy.servicekit.problems import (
    CollectionMissing,
    Conflict,
    Malformed,
    TooManyCollections,
)
from services.indexer.ledger import collections as ledger
from services.indexer.ledger.acceptance import next_number
from services.indexer.ledger.collections import Shelf
from services.indexer.ledger.database import Database
from services.indexer.letting_go import LettingGo
from services.indexer.points import Points, Target
from services.indexer.spaces import Spaces


@dataclass(slots=True)
class KeepCollections:
    """The use cases."""

    database: Database
    points: Points
    spaces: Spaces
    letting_go: LettingGo

    async def put(self, asked: PutCollection) -> Collection:
        """Makes the collection, or changes its retention.

        Raises:
            Malformed: the installation has no such space, or cannot take such a collection.
            Conflict: it is there, of another kind or with other spaces.
            TooManyCollections: the tenant has as many as it may have.
            Unavailable: the retriever cannot make it now.
        """
        ref = CollectionRef(tenant=asked.tenant, collection=asked.collection)
        wanted = self._wanted(asked)
        shelf = await self.database.read(lambda db: ledger.find_shelf(db, ref))
        if shelf is None:
            await self._make(ref, asked, wanted)
        else:
            _compare(asked, shelf)
            if shelf.retention_days != asked.spec.retention_days:
                days = asked.spec.retention_days
                await self.database.write(lambda db: ledger.keep_for_days(db, ref, days))
        return await self.get(ref)

    async def get(self, ref: CollectionRef) -> Collection:
        """
        Raises:
            CollectionMissing: there is none.
        """
        found = await self.database.read(lambda db: ledger.describe(db, ledger.open_shelf(db, ref)))
        return found.model_copy(update={"spaces": await self.spaces.marked(found.spaces)})

    async def list_page(self, asked: ListCollections) -> CollectionList:
        shelves, following = await self.database.read(
            lambda db: ledger.list_shelves(db, asked.tenant, asked.limit, asked.cursor)
        )
        current = [
            replace(shelf, spaces=tuple(await self.spaces.marked(shelf.spaces)))
            for shelf in shelves
        ]
        told = await self.database.read(lambda db: [ledger.describe(db, s) for s in current])
        return CollectionList(collections=told, next=following)

    async def drop(self, ref: CollectionRef) -> Done:
        """Everything of it: what waits, what is kept, what is searched, the pictures.

        Raises:
            CollectionMissing: there is none.
        """
        plain = CollectionRef(tenant=ref.tenant, collection=ref.collection)
        if not await self.database.write(lambda db: ledger.begin_drop(db, plain)):
            raise CollectionMissing("there is no collection of that name")
        await self._end_drop(plain)
        return Done()

    async def drop_the_rest(self) -> None:
        """Drops that were begun and not ended."""
        for ref in await self.database.read(ledger.half_dropped):
            await self._end_drop(ref)

    async def _end_drop(self, ref: CollectionRef) -> None:
        await self.points.drop(Target(ref.tenant, ref.collection, staged=True))
        await self.points.drop(Target(ref.tenant, ref.collection))
        await self.letting_go()
        await self.database.write(lambda db: ledger.end_drop(db, ref))

    async def _make(self, ref: CollectionRef, asked: PutCollection, spaces: Sequence[str]) -> None:
        most = asked.max_collections
        await self.database.read(lambda db: ledger.check_room(db, ref, most))
        target = Target(ref.tenant, ref.collection)
        made = await self.points.open(target, asked.spec.kind, spaces)

        def add(db: Connection) -> None:
            next_number(db)  # holds others back: of two at once the second must see the first
            days = asked.spec.retention_days
            ledger.add_shelf(db, ref, asked.spec.kind, made.spaces, days)
            ledger.check_room(db, ref, most)

        try:
            await self.database.write(add)
        except TooManyCollections:
            await self.points.drop(target)  # nobody else has made it, or it were a conflict
            raise

    def _wanted(self, asked: PutCollection) -> list[str]:
        if asked.spec.kind != "dialogues":
            raise at_place(Malformed, "body/kind", "only dialogues are indexed so far")
        wanted = asked.spec.spaces or self.spaces.names
        for place, name in enumerate(wanted):
            if name not in self.spaces.names:
                at, why = f"body/spaces/{place}", "this installation has no such space"
                raise at_place(Malformed, at, why)
            if name in wanted[:place]:
                raise at_place(Malformed, f"body/spaces/{place}", "it is named twice")
        return wanted


def _compare(asked: PutCollection, shelf: Shelf) -> None:
    if shelf.dropping:
        raise Conflict("the collection is just being dropped; try again")
    if shelf.kind != asked.spec.kind:
        raise Conflict(f"the collection holds {shelf.kind}")
    has = {space.name for space in shelf.spaces}
    if asked.spec.spaces is not None and set(asked.spec.spaces) != has:
        names = ", ".join(f"`{name}`" for name in sorted(has))
        raise Conflict(f"the collection has the spaces {names}")
