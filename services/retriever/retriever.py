"""The retriever as a whole: its store, its spaces, what it can be asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from colloquy.contracts.operation import Check, Readiness
from colloquy.engine.serving.opened import Opened, Wanted, open_engines
from services.retriever.embed import EmbedContents
from services.retriever.fragments import Fragments
from services.retriever.keep_collections import KeepCollections
from services.retriever.metrics import Metrics
from services.retriever.probing import ProbeAsker
from services.retriever.retrieve import RetrieveCandidates
from services.retriever.settings import Settings
from services.retriever.spaces import OpenSpaces, open_spaces
from services.retriever.sparse import Bm25
from services.retriever.upsert import Upsert
from services.retriever.vector_store import VectorStore
from services.retriever.vector_stores import StoreSettings


class OpenStore(Protocol):
    """Opens the vector store that the settings name."""

    def __call__(
        self, settings: StoreSettings, state_dir: Path, *, api_key: SecretStr | None
    ) -> AbstractAsyncContextManager[VectorStore]: ...


@dataclass(frozen=True, slots=True)
class Retriever:
    """What the routes reach."""

    opened: Opened
    spaces: OpenSpaces
    store: VectorStore
    collections: KeepCollections
    fragments: Fragments
    upsert: Upsert
    retrieve: RetrieveCandidates
    embed: EmbedContents

    def readiness(self) -> Readiness:
        checks: list[Check] = [
            *self.store.checks(),
            *self.spaces.checks(),
            *self.opened.checks(),
        ]
        return Readiness(ready=all(check.ready for check in checks), checks=checks)


@asynccontextmanager
async def open_retriever(
    settings: Settings, metrics: Metrics, open_store: OpenStore
) -> AsyncIterator[Retriever]:
    """Opens the store; begins to load models and to watch engines, and waits for none of them."""
    wanted = Wanted(
        tasks=settings.tasks,
        engines=settings.engines,
        registry=settings.registry,
        blobs=settings.blobs,
        blob_key=settings.blob_key,
        media=settings.media,
        tuning=settings.tuning,
    )
    bm25 = Bm25(settings.tuning.bm25)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(
            open_store(settings.tuning.store, settings.state, api_key=settings.store_key)
        )
        opened = await stack.enter_async_context(open_engines(wanted, metrics, ProbeAsker))
        spaces = await stack.enter_async_context(open_spaces(settings, opened, metrics))
        await asyncio.to_thread(bm25.load)
        yield Retriever(
            opened,
            spaces,
            store,
            KeepCollections(store, spaces),
            Fragments(store),
            Upsert(store, spaces, bm25, metrics),
            RetrieveCandidates(store, spaces, bm25, settings.tuning, metrics),
            EmbedContents(spaces),
        )
