"""What is asked of an engine, and what it answers."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineImage:
    """A picture exactly as it is sent: re-encoded and shrunk to the task's budget before."""

    data: bytes
    media_type: str

    def cache_key(self, tenant: str) -> str:
        """Names the picture in the engine's cache.

        The engine believes the name: the same one with other bytes answers for the old picture. So
        it depends on every byte that is sent, and on the tenant.
        """
        digest = hashlib.sha256(f"{tenant}\0{self.media_type}\0".encode())
        digest.update(self.data)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One question to a model.

    Attributes:
        model: the engine's name for it: the base, or an adapter.
        content: text and pictures of the user turn, in order.
        tenant: keys every cache of the engine.
        grammar: EBNF that the answer must match; None leaves the model free.
        begun: the beginning of the answer, which the model goes on from.
    """

    model: str
    system: str
    content: Sequence[str | EngineImage]
    tenant: str
    max_tokens: int
    grammar: str | None = None
    temperature: float = 0.0
    begun: str = ""


@dataclass(frozen=True, slots=True)
class Generation:
    """An engine's answer; `complete` is false when the token limit cut it."""

    text: str
    complete: bool
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class FirstToken:
    """How probable each of some tokens is as the answer's next one, and what it took to know.

    Attributes:
        probabilities: P(token | it is one of those asked for), in their order; they sum to 1.
    """

    probabilities: tuple[float, ...]
    prompt_tokens: int
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class Embedding:
    """Attributes:
    vector: (dimensions,), of length 1.
    """

    vector: list[float]
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class EngineModel:
    """A model that an engine serves.

    Attributes:
        root: where the engine read it from.
        parent: the base's name; None for a base.
    """

    name: str
    root: str
    parent: str | None
    max_model_len: int | None
