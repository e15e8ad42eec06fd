"""Builds the graph of a collection beside it and swaps it in, while it is searched and written.

1. Writers wait while the shard is flushed and copied; from then on its worker notes each write.
2. A process of its own builds the graph over the copy and does the noted writes too.
3. Writers wait again; the worker opens the copy and does the last of them; the catalogue names it.

Until the catalogue does, the old shard has everything and the copy is nobody's: it may end at any
moment. Searches go on all the time, but for the tenth of a second in which the copy is opened.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from colloquy.servicekit.problems import Unavailable
from services.retriever.domain import Key
from services.retriever.edge_catalogue import Catalogue, Generation, new_folder
from services.retriever.edge_copy import sync_log
from services.retriever.edge_process import Channel, Worker, start_channel
from services.retriever.edge_wire import Message

MODULE: Final = "services.retriever.edge_optimiser"
_TRIES: Final = 3
_COPY_WITHIN_S: Final = 600.0
_log = logging.getLogger("colloquy.retriever.vectors")


class Interrupted(Exception):
    """The collection changed as a whole, or its worker died: what was built is of no use."""


class Optimising:
    """One graph at a time: it takes every core.

    Args:
        changing: the lock of a collection; who holds it is its only writer.
    """

    def __init__(
        self,
        root: Path,
        catalogue: Catalogue,
        worker: Worker,
        changing: Callable[[Key], asyncio.Lock],
    ) -> None:
        self._root = root
        self._catalogue = catalogue
        self._worker = worker
        self._changing = changing
        self._turn = asyncio.Lock()
        self.pid: int | None = None

    async def run(self, key: Key) -> None:
        """Returns when the graph has every point that was there at the start.

        Raises:
            CollectionMissing: it is not open, or no longer.
            Unavailable: it was interrupted again and again.
        """
        async with self._turn:
            for _ in range(_TRIES):
                try:
                    return await self._once(key)
                except Interrupted as interruption:
                    _log.warning("a graph is begun again", extra={"why": str(interruption)})
        raise Unavailable("the graph could not be built", retry_after_s=30)

    async def _once(self, key: Key) -> None:
        source = self._catalogue.generation(key)
        target = new_folder(self._catalogue.entry(key))
        journal = self._root / f"{target}.journal"
        try:
            built, incarnation = await self._build(key, source, target, journal)
            await self._swap(key, source, target, built, incarnation)
        finally:
            await asyncio.shield(self._tidy(key, source.folder, target, journal))

    async def _build(
        self, key: Key, source: Generation, target: str, journal: Path
    ) -> tuple[Message, int]:
        channel: Channel | None = None
        try:
            async with self._changing(key):
                if self._catalogue.generation(key).folder != source.folder:
                    raise Interrupted("the collection was replaced")
                await self._ask(do="begin", folder=source.folder, journal=str(journal))
                incarnation = self._worker.incarnation
                paths = (self._root / source.folder, self._root / target, journal)
                # It speaks first when it has copied: writers need not wait longer.
                arguments = [str(path) for path in paths]
                channel = await start_channel(MODULE, arguments, within_s=_COPY_WITHIN_S)
                self.pid = channel.process.pid
            built = await channel.receive()
        except OSError as error:
            raise Interrupted("the copy could not be made") from error
        finally:
            self.pid = None
            if channel is not None:
                await channel.kill()
        if built is None:
            raise Interrupted("the process that built it died")
        return built, incarnation

    async def _swap(
        self, key: Key, source: Generation, target: str, built: Message, incarnation: int
    ) -> None:
        copy = replace(source, folder=target, graphed=built.head["graphed"])
        async with self._changing(key):
            entry = self._catalogue.entry(key).swapped(source.folder, copy)
            if entry is None:
                raise Interrupted("the collection was replaced or dropped")
            offset = built.head["offset"]
            await self._ask(do="adopt", folder=source.folder, target=target, offset=offset)
            if self._worker.incarnation != incarnation:
                raise Interrupted("the worker died, and with it what was written meanwhile")
            await asyncio.to_thread(sync_log, self._root / target)
            await self._catalogue.commit(entry)

    async def _ask(self, **head: object) -> Message:
        try:
            return await self._worker.ask(lambda: Message(head))
        except Unavailable as error:
            raise Interrupted("the worker died or failed") from error

    async def _tidy(self, key: Key, source: str, target: str, journal: Path) -> None:
        """Nobody asks for the loser any more, whichever it is; the winner is in the catalogue."""
        async with self._changing(key):
            owned = {generation.folder for generation in self._catalogue.entry(key).generations}
            losers = [folder for folder in (source, target) if folder not in owned]
            with suppress(Interrupted):  # a new worker knows none of them
                await self._ask(do="forget", folder=source)
                for folder in losers:
                    await self._ask(do="close", folder=folder)
            await asyncio.to_thread(journal.unlink, True)
            for folder in losers:
                await asyncio.to_thread(self._catalogue.remove, folder)
