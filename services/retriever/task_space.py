"""A space of the task `embed`: LamRA on a pooling engine.

A content that is too long for the engine is embedded in parts of whole turns, and its vector is the
normalised mean of theirs: nothing is cut off.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Literal

import numpy as np

from colloquy.contracts.content import ImagePart, TextPart, Utterance
from colloquy.contracts.operation import Check
from colloquy.engine.failures import PromptTooLong
from colloquy.engine.requests import Embedding
from colloquy.engine.serving.ask import Inquiry, TaskModel
from colloquy.media.failures import BadImage, BlobMissing
from colloquy.protocols import lamra
from colloquy.protocols.lamra import Picture
from colloquy.protocols.prompt import Prompt
from colloquy.servicekit.problems import Overloaded, ServiceError, TooLarge, Unavailable
from services.retriever.encoding import (
    Content,
    Encoded,
    Identity,
    Item,
    goes_first,
    mean_of_units,
    together,
)
from services.retriever.settings import Encoding

# The chat template's own tokens: turns, roles, the opening of the answer.
_TEMPLATE_TOKENS = 64
_OF_THE_ITEM = (BlobMissing, BadImage, TooLarge)
_PROBE = lamra.render_embedding(["1"])
Writes = Callable[[Sequence[Utterance]], lamra.Content]


class TaskEncoder:
    """Embeds into one space.

    Args:
        places: requests of documents in the engine at once; a place beyond them is a query's.
    """

    kind: Literal["task"] = "task"

    def __init__(self, name: str, model: TaskModel, places: int, settings: Encoding) -> None:
        self.name = name
        self._model = model
        self._settings = settings
        self._places = asyncio.Semaphore(max(1, places))
        self._waiting = 0
        self._known: Identity | None = None
        self._asking = asyncio.Lock()

    @property
    def known(self) -> Identity | None:
        return self._known

    async def identity(self) -> Identity:
        async with self._asking:
            revision = self._model.name
            if self._known is None or self._known.revision != revision:
                probe = await self._model.embed(Inquiry("probe", {}), _PROBE)
                self._known = Identity(revision, len(probe.vector))
            return self._known

    def check(self) -> Check:
        """Whether it can be asked; why not is told by the checks of its engine."""
        try:
            ready = bool(self._model.name)
        except Unavailable:
            ready = False
        return Check(name=f"space:{self.name}", ready=ready, detail=None if ready else "see engine")

    async def encode(self, tenant: str, items: Sequence[Item]) -> list[Encoded | ServiceError]:
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

    async def _one(self, tenant: str, item: Item, first: bool) -> Encoded | ServiceError:
        try:
            async with AsyncExitStack() as stack:
                if not first:
                    await stack.enter_async_context(self._places)
                inquiry = await self._model.open(tenant, item.pictures)
                turns, writes = _turns(item)
                told = await self._embed(inquiry, turns, writes)
        except _OF_THE_ITEM as error:
            return error
        vectors = np.asarray([part.vector for part in told], dtype=np.float32)
        tokens = sum(part.prompt_tokens for part in told)
        return Encoded(mean_of_units(vectors).tolist(), tokens)

    async def _embed(
        self, inquiry: Inquiry, turns: Sequence[Utterance], writes: Writes
    ) -> list[Embedding]:
        """Of the turns together where they fit, else of their halves."""
        prompt = lamra.render_embedding(writes(turns))
        if await self._fits(inquiry, prompt):
            try:
                return [await self._model.embed(inquiry, prompt)]
            except PromptTooLong:  # only where tokens cannot be counted
                pass
        first, second = halves(turns)
        return [
            *await self._embed(inquiry, first, writes),
            *await self._embed(inquiry, second, writes),
        ]

    async def _fits(self, inquiry: Inquiry, prompt: Prompt) -> bool:
        limits = self._model.limits
        if len(prompt.images) > limits.images:
            return False
        pictures = sum(self._model.image_tokens(inquiry, url) for url in prompt.images)
        text = self._model.text_tokens(prompt.system + prompt.user)
        # vLLM never ends the embedding of a prompt that fills its context to the last token: its
        # scheduler leaves room for a token to write.
        if text + pictures + _TEMPLATE_TOKENS < limits.context_tokens:
            return True  # by a bound that is never too low
        count = self._model.counter(inquiry)
        return count is None or await count(prompt) < limits.context_tokens


def _turns(item: Item) -> tuple[Sequence[Utterance], Writes]:
    """A content as turns, which may be cut between, and how turns are written."""
    if not isinstance(item, Content):
        return item.utterances, lamra.fragment_content
    turn = Utterance(speaker="-", content=list(item.parts))
    return [turn], _as_query if item.is_query else _as_document


def _as_query(turns: Sequence[Utterance]) -> lamra.Content:
    """Pictures first, then one text that begins with the instruction, as published."""
    content = Content(tuple(part for turn in turns for part in turn.parts))
    text = lamra.query_text(lamra.FRAGMENT_INSTRUCTION, "\n".join(content.texts))
    return [*map(Picture, content.pictures), text]


def _as_document(turns: Sequence[Utterance]) -> lamra.Content:
    """In the order given; one text by itself is tidied as published, several are lines."""
    parts = [part for turn in turns for part in turn.parts]
    alone = sum(isinstance(part, TextPart) for part in parts) == 1
    return [
        Picture(part.image_url.url)
        if isinstance(part, ImagePart)
        else lamra.format_string(part.text)
        if alone
        else f"{part.text}\n"
        for part in parts
    ]


def halves(turns: Sequence[Utterance]) -> tuple[Sequence[Utterance], Sequence[Utterance]]:
    """Between turns; a turn by itself between its parts; a text near its middle, at a space.

    Raises:
        TooLarge: a single picture or character does not fit.
    """
    if len(turns) > 1:
        return turns[: len(turns) // 2], turns[len(turns) // 2 :]
    parts = turns[0].parts
    if len(parts) > 1:
        middle = len(parts) // 2
        return [_with(turns[0], parts[:middle])], [_with(turns[0], parts[middle:])]
    (part,) = parts
    if isinstance(part, ImagePart) or len(part.text) < 2:
        raise TooLarge("a part of the content does not fit the model's context")
    cut = _cut(part.text)
    first, second = part.text[:cut], part.text[cut:]
    return [_with(turns[0], [TextPart(text=first)])], [_with(turns[0], [TextPart(text=second)])]


def _cut(text: str) -> int:
    """The place nearest before the middle where a word ends; the middle where there is none."""
    middle = len(text) // 2
    space = max(text.rfind(" ", 1, middle), text.rfind("\n", 1, middle))
    return space if space > 0 else middle


def _with(turn: Utterance, parts: Sequence[TextPart | ImagePart]) -> Utterance:
    return turn.model_copy(update={"content": list(parts)})
