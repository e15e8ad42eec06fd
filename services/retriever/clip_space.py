"""A space of an open_clip model: contents become batches, batches become vectors.

A content of several texts and pictures has one vector: the mean of its texts and the mean of its
pictures, added. That is score fusion as UniIR's CLIP_SF has it (arXiv:2311.17136), so a content
answers a query by what it says and by what it shows.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Literal

import numpy as np

from colloquy.contracts.operation import Check
from colloquy.media.blobs import BlobReader
from colloquy.media.failures import BadImage, BlobMissing
from colloquy.registry.store import CheckpointBroken, CheckpointMissing
from colloquy.servicekit.batcher import Batcher
from colloquy.servicekit.problems import Overloaded, ServiceError, Unavailable
from services.retriever.encoders import ClipModel
from services.retriever.encoding import (
    Array,
    Encoded,
    Identity,
    Item,
    goes_first,
    mean_of_units,
    together,
    unit,
)
from services.retriever.metrics import Metrics
from services.retriever.settings import Encoding
from services.retriever.windows import windows

_log = logging.getLogger("retriever.clip")
_TRY_AGAIN_S = 30.0
_RETRY_AFTER_S = 5
_OF_THE_ITEM = (BlobMissing, BadImage)
Tensor = Any


class ClipEncoder:
    """Embeds into one space. The model is loaded in the background, and again while that fails."""

    kind: Literal["open_clip"] = "open_clip"

    def __init__(
        self,
        name: str,
        load: Callable[[], ClipModel],
        blobs: BlobReader,
        settings: Encoding,
        metrics: Metrics,
    ) -> None:
        self.name = name
        self._load = load
        self._blobs = blobs
        self._settings = settings
        self._metrics = metrics
        self._model: ClipModel | None = None
        self._problem = "the model is being loaded"
        # What goes first has threads and batches of its own: it waits for what runs, not for a
        # backlog.
        self._threads = {
            first: ThreadPoolExecutor(settings.prepare_threads, f"prepare-{name}")
            for first in (False, True)
        }
        # A prepared picture is large: few are held at once.
        self._places = asyncio.Semaphore(settings.documents_at_once)
        self._waiting = 0
        self._texts = {first: self._text_batcher() for first in (False, True)}
        self._pictures = {first: self._picture_batcher() for first in (False, True)}

    @asynccontextmanager
    async def running(self) -> AsyncIterator["ClipEncoder"]:
        async with AsyncExitStack() as stack:
            for threads in self._threads.values():
                stack.callback(threads.shutdown, wait=False, cancel_futures=True)
            for batcher in (*self._texts.values(), *self._pictures.values()):
                await stack.enter_async_context(batcher)
            loading = asyncio.create_task(self._keep_loading())
            try:
                yield self
            finally:
                loading.cancel()
                await asyncio.gather(loading, return_exceptions=True)

    @property
    def known(self) -> Identity | None:
        model = self._model
        return None if model is None else Identity(model.revision, model.dimensions)

    async def identity(self) -> Identity:
        model = self._loaded()
        return Identity(model.revision, model.dimensions)

    def check(self) -> Check:
        ready = self._model is not None
        return Check(
            name=f"space:{self.name}", ready=ready, detail=None if ready else self._problem
        )

    async def encode(self, tenant: str, items: Sequence[Item]) -> list[Encoded | ServiceError]:
        self._loaded()
        if self._waiting + len(items) > self._settings.waiting_items:
            raise Overloaded("too many contents wait to be embedded")
        self._waiting += len(items)
        first = goes_first(items)
        try:
            result: list[Encoded | ServiceError] = await together(
                [self._one(tenant, item, first) for item in items]
            )
            return result
        finally:
            self._waiting -= len(items)

    # --- one content ------------------------------------------------------------------------

    async def _one(self, tenant: str, item: Item, first: bool) -> Encoded | ServiceError:
        try:
            return await self._encoded(tenant, item, first)
        except _OF_THE_ITEM as error:
            return error

    async def _encoded(self, tenant: str, item: Item, first: bool) -> Encoded:
        text = "\n".join(filter(None, (text.strip() for text in item.texts)))
        pictures = list(dict.fromkeys(item.pictures))
        work: list[Any] = [self._picture(tenant, ref, first) for ref in pictures]
        if text or not pictures:
            work.append(self._text(text, first))
        told = await together(work)
        means = []
        tokens = 0
        if pictures:
            means.append(mean_of_units(np.stack(told[: len(pictures)])))
        if len(told) > len(pictures):
            mean, tokens = told[-1]
            means.append(mean)
        return Encoded(unit(np.sum(means, axis=0)).tolist(), tokens)

    async def _text(self, text: str, first: bool) -> tuple[Array, int]:
        """The mean of a text's windows, and how many tokens they have."""
        model = self._loaded()

        def prepare() -> list[Tensor]:
            return [
                (model.tokens(window), min(model.count(window), model.context_tokens))
                for window in windows(text, model.count, model.context_tokens)
            ]

        prepared = await self._in_thread(prepare, first)
        batcher = self._texts[first]
        vectors = await together([self._in_turn(batcher, window) for window in prepared])
        return mean_of_units(np.stack(vectors)), sum(size for _, size in prepared)

    async def _picture(self, tenant: str, ref: str, first: bool) -> Array:
        model = self._loaded()

        def prepare() -> Tensor:
            return model.prepare(self._blobs.get(tenant, ref).data)

        async with AsyncExitStack() as stack:
            if not first:
                await stack.enter_async_context(self._places)
            prepared = await self._in_thread(prepare, first)
            return (await self._pictures[first].submit([prepared]))[0]

    async def _in_turn(self, batcher: "Batcher[Any, Array]", item: Any) -> Array:
        if batcher is self._texts[True]:
            return (await batcher.submit([item]))[0]
        async with self._places:
            return (await batcher.submit([item]))[0]

    async def _in_thread(self, work: Callable[[], Any], first: bool) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads[first], work)

    # --- batches ----------------------------------------------------------------------------

    def _text_batcher(self) -> "Batcher[Any, Array]":
        return self._batcher("text", self._settings.batch_tokens, self._size, self._run_texts)

    def _picture_batcher(self) -> "Batcher[Any, Array]":
        return self._batcher("picture", self._settings.batch_pictures, _one, self._run_pictures)

    def _batcher(
        self,
        kind: str,
        most: int,
        cost: Callable[[Any], int],
        run: Callable[[Sequence[Any]], Array],
    ) -> "Batcher[Any, Array]":
        def measured(batch: Sequence[Any]) -> list[Array]:
            self._metrics.batch_items.labels(self.name, kind).observe(len(batch))
            with self._metrics.batch_seconds.labels(self.name, kind).time():
                return list(run(batch))

        return Batcher(
            measured, cost=cost, max_batch_cost=most, max_waiting=self._settings.waiting_items
        )

    def _size(self, window: tuple[Tensor, int]) -> int:
        model = self._loaded()
        return window[1] if model.shortens else model.context_tokens

    def _run_texts(self, batch: Sequence[tuple[Tensor, int]]) -> Array:
        return self._loaded().encode_texts([tokens for tokens, _ in batch])

    def _run_pictures(self, batch: Sequence[Tensor]) -> Array:
        return self._loaded().encode_pictures(batch)

    # --- the model --------------------------------------------------------------------------

    def _loaded(self) -> ClipModel:
        if self._model is None:
            raise Unavailable(
                f"the model of space `{self.name}` is not loaded", retry_after_s=_RETRY_AFTER_S
            )
        return self._model

    async def _keep_loading(self) -> None:
        while self._model is None:
            try:
                self._model = await asyncio.to_thread(self._load)
            except (CheckpointMissing, CheckpointBroken) as error:
                self._problem = str(error)
            except Exception as error:  # noqa: BLE001 - the library's own, of any kind
                self._problem = f"the model cannot be loaded: {type(error).__name__}"
                _log.exception("a model cannot be loaded")
            if self._model is None:
                _log.error(
                    "space not ready", extra={"facts": {"space": self.name, "why": self._problem}}
                )
                await asyncio.sleep(_TRY_AGAIN_S)
        _log.info("space ready", extra={"facts": {"space": self.name}})


def _one(_: Any) -> int:
    return 1
