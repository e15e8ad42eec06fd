"""The port to an encoder: contents in, vectors of one embedding space out."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from colloquy.contracts.content import ImagePart, TextPart, Utterance
from colloquy.contracts.fragments import MAX_QUERY_CHARACTERS
from colloquy.contracts.operation import Check
from colloquy.servicekit.problems import ServiceError

Array = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class Content:
    """Text and pictures that one vector stands for, in order.

    Attributes:
        is_query: it asks for others; some models embed such a content with an instruction.
    """

    parts: tuple[TextPart | ImagePart, ...]
    is_query: bool = False

    @property
    def texts(self) -> list[str]:
        return [part.text for part in self.parts if isinstance(part, TextPart)]

    @property
    def pictures(self) -> list[str]:
        return [part.image_url.url for part in self.parts if isinstance(part, ImagePart)]


@dataclass(frozen=True, slots=True)
class Turns:
    """A fragment of a dialogue."""

    utterances: tuple[Utterance, ...]

    @property
    def texts(self) -> list[str]:
        return [text for turn in self.utterances for text in Content(tuple(turn.parts)).texts]

    @property
    def pictures(self) -> list[str]:
        return [picture for turn in self.utterances for picture in turn.images]


Item = Content | Turns


def goes_first(items: Sequence[Item]) -> bool:
    """Whether they are what a search asks with: one query, with a text and a picture at most.

    It does not wait for documents. Whoever embeds many queries, or long ones, waits like everybody
    else: ahead of the line they would hold up every search.
    """
    if len(items) != 1 or not isinstance(items[0], Content) or not items[0].is_query:
        return False
    (query,) = items
    return len(query.pictures) <= 1 and sum(map(len, query.texts)) <= MAX_QUERY_CHARACTERS


@dataclass(frozen=True, slots=True)
class Identity:
    """Which space it is: vectors of two revisions are never compared."""

    revision: str
    dimensions: int


@dataclass(frozen=True, slots=True)
class Encoded:
    """Attributes:
    vector: (dimensions,), of length 1.
    tokens: of text that the model read; 0 where it does not say.
    """

    vector: list[float]
    tokens: int = 0


class Encoder(Protocol):
    """Embeds into one space of the profile."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> Literal["open_clip", "task"]: ...

    @property
    def known(self) -> Identity | None:
        """What `identity` said last; None before it ever could."""
        ...

    async def identity(self) -> Identity:
        """
        Raises:
            Unavailable: the model is not there (yet).
        """
        ...

    async def encode(self, tenant: str, items: Sequence[Item]) -> list[Encoded | ServiceError]:
        """One result an item, in order; an item that cannot be embedded has the reason instead.

        Raises:
            Unavailable, Overloaded, UpstreamFailed: nothing can be embedded now.
        """
        ...

    def check(self) -> Check: ...


def unit(vector: Array) -> Array:
    """`vector`, or each row of a matrix, at length 1."""
    lengths = np.linalg.norm(vector, axis=-1, keepdims=True)
    scaled: Array = vector / np.maximum(lengths, np.finfo(np.float32).tiny)
    return scaled


def mean_of_units(vectors: Array) -> Array:
    """The direction of the mean of unit vectors: (n, dimensions) to (dimensions,)."""
    return unit(vectors.mean(axis=0))


async def together(work: Sequence[Any]) -> list[Any]:
    """Runs `work` at once; the first failure cancels the rest and is raised by itself."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
