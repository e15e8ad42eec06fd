"""Asking a task's model: a place in the engine's queue, the call, and what it cost."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from colloquy.engine.failures import ModelMissing
from colloquy.engine.requests import (
    Embedding,
    EngineImage,
    FirstToken,
    Generation,
    GenerationRequest,
)
from colloquy.engine.serving.metrics import EngineMetrics
from colloquy.engine.serving.pictures import Pictures, engine_image, fit_all, most_tokens
from colloquy.engine.serving.served import ServedEngine
from colloquy.media.decoding import Picture
from colloquy.profile import Task
from colloquy.protocols.f2rvlm import MAX_TURNS
from colloquy.protocols.prompt import Prompt
from colloquy.servicekit.problems import DeadlineExceeded

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one prompt may hold.

    Attributes:
        context_tokens: prompt and answer together.
        output_tokens: the longest answer.
    """

    context_tokens: int
    output_tokens: int
    images: int
    turns: int


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One request to a task: whose it is, and its pictures at the task's size."""

    tenant: str
    pictures: Mapping[str, Picture]


class TaskModel:
    """The model of one task, wherever it runs.

    Args:
        task: its name, a label of the metrics.
        binding: from the profile.
        pictures: where pictures come from.
    """

    def __init__(
        self,
        task: str,
        binding: Task,
        engine: ServedEngine,
        pictures: Pictures,
        metrics: EngineMetrics,
    ) -> None:
        self._task = task
        self._binding = binding
        self._engine = engine
        self._pictures = pictures
        self._metrics = metrics

    @property
    def name(self) -> str:
        """Task and version, or the engine's own model.

        Raises:
            Unavailable: the engine is down, or the adapter is not loaded and probed.
        """
        return self._engine.model_of(self._task)

    @property
    def tolerant(self) -> bool:
        """The model writes freely and is read tolerantly; else a grammar holds it."""
        return self._binding.tolerant

    @property
    def limits(self) -> Limits:
        settings = self._engine.settings
        return Limits(
            context_tokens=settings.max_model_len,
            output_tokens=min(self._binding.max_output_tokens, settings.max_model_len // 2),
            images=settings.max_images,
            turns=MAX_TURNS,
        )

    async def open(self, tenant: str, urls: list[str]) -> Inquiry:
        """Fetches a dialogue's pictures.

        Raises:
            BlobMissing: a reference is not the tenant's.
        """
        found = await fit_all(self._pictures, tenant, urls, self._binding.max_pixels)
        return Inquiry(tenant, found)

    def text_tokens(self, text: str) -> int:
        """Where the engine counts exactly, a bound (no byte-level token is less than a byte);
        else an estimate on the high side for English and Chinese."""
        if self._engine.client.capabilities.tokenize:
            return len(text.encode("utf-8", "surrogatepass"))
        plain = sum(character.isascii() for character in text)
        return math.ceil(plain / 2 + (len(text) - plain) * 1.5)

    def image_tokens(self, inquiry: Inquiry, url: str) -> int:
        return most_tokens(inquiry.pictures[url])

    def counter(self, inquiry: Inquiry) -> Callable[[Prompt], Awaitable[int]] | None:
        """Counts a prompt's tokens exactly; None where the engine cannot."""
        if not self._engine.client.capabilities.tokenize:
            return None

        async def count(prompt: Prompt) -> int:
            request = self._request(inquiry, prompt, None, 1)
            return await self._engine.client.count_tokens(request)

        return count

    async def ask(
        self, inquiry: Inquiry, prompt: Prompt, grammar: str | None, max_tokens: int
    ) -> Generation:
        """Asks once, in turn.

        Raises:
            Overloaded: too many wait. Unavailable: the engine is down or went down meanwhile.
            DeadlineExceeded, UpstreamFailed: it is late or wrong.
        """
        request = self._request(inquiry, prompt, grammar, max_tokens)
        generation = await self._in_turn(self._engine.client.generate, request)
        self._metrics.count(self._task, generation)
        return generation

    async def first_token(
        self, inquiry: Inquiry, prompt: Prompt, token_ids: Sequence[int], *, begun: str = ""
    ) -> FirstToken:
        """P(token) of the answer's first token among `token_ids`, or of the first after `begun`.

        Raises:
            As `ask`; ValueError: the engine gives no log-probabilities.
        """

        async def ask(request: GenerationRequest) -> FirstToken:
            return await self._engine.client.first_token(request, token_ids)

        request = replace(self._request(inquiry, prompt, None, 1), begun=begun)
        told = await self._in_turn(ask, request)
        self._metrics.count_read(self._task, told.prompt_tokens, told.cached_tokens)
        return told

    async def embed(self, inquiry: Inquiry, prompt: Prompt) -> Embedding:
        """The prompt's embedding, of length 1. Needs an engine that pools.

        Raises:
            As `ask`.
        """
        request = self._request(inquiry, prompt, None, 1)
        told = await self._in_turn(self._engine.client.embed, request)
        self._metrics.count_read(self._task, told.prompt_tokens, 0)
        return told

    async def token_ids(self, text: str) -> list[int]:
        """The tokens of a bare text."""
        return await self._engine.client.token_ids(self.name, text)

    async def _in_turn(
        self, call: Callable[[GenerationRequest], Awaitable[Result]], request: GenerationRequest
    ) -> Result:
        async with self._engine.queue.slot() as waited_s:
            self._metrics.queue_seconds.labels(self._engine.name).observe(waited_s)
            started = time.monotonic()
            try:
                result = await self._engine.unless_it_goes_down(call(request))
            except (asyncio.CancelledError, DeadlineExceeded):
                self._metrics.wasted.labels(self._task).inc()
                raise
            except ModelMissing:
                self._engine.watch.lost_adapters()
                raise
            self._metrics.engine_seconds.labels(self._task).observe(time.monotonic() - started)
        self._engine.watch.succeeded()
        return result

    def _request(
        self, inquiry: Inquiry, prompt: Prompt, grammar: str | None, max_tokens: int
    ) -> GenerationRequest:
        content: list[str | EngineImage] = []
        for text, url in prompt.segments():
            content.append(text)
            if url is not None:
                content.append(engine_image(inquiry.pictures[url]))
        return GenerationRequest(
            model=self.name,
            system=prompt.system,
            content=content,
            tenant=inquiry.tenant,
            max_tokens=max_tokens,
            grammar=grammar,
        )
