"""Fragments that are stored: counted, read, deleted."""

from colloquy.contracts.retrieval import (
    Counted,
    CountFragments,
    DeleteFragments,
    FragmentPage,
    FragmentRecord,
    ScrollFragments,
)
from colloquy.media.failures import at_place
from colloquy.servicekit.problems import Malformed
from services.retriever.keep_collections import key_of
from services.retriever.selecting import where_of
from services.retriever.vector_store import VectorStore


class Fragments:
    """The use cases."""

    def __init__(self, store: VectorStore) -> None:
        self._store = store

    async def count(self, body: CountFragments) -> Counted:
        return Counted(count=await self._store.count(key_of(body), where_of(body.selection)))

    async def scroll(self, body: ScrollFragments) -> FragmentPage:
        points, following = await self._store.scroll(
            key_of(body), where_of(body.selection), body.limit, body.cursor
        )
        records = [FragmentRecord.model_validate(point.payload["record"]) for point in points]
        return FragmentPage(fragments=records, next=following)

    async def delete(self, body: DeleteFragments) -> Counted:
        """
        Raises:
            Malformed: nothing is selected, which would be everything.
        """
        where = where_of(body.selection)
        if where.is_everything:
            why = "selects everything; drop the collection instead"
            raise at_place(Malformed, "body/selection", why)
        return Counted(count=await self._store.delete(key_of(body), where))
