"""How an engine's failures become the failures that our callers know."""

import json
from typing import Any

from colloquy.servicekit.problems import (
    Overloaded,
    ServiceError,
    TooLarge,
    Unavailable,
    UpstreamFailed,
)

_DEAD = ("EngineCore", "EngineDead")
# vLLM names the reason in the message alone.
_TOO_LONG = ("maximum context length", "maximum model length")
_CACHE_MISS = "Cache miss"
MODEL_RELOAD_S = 5


class ModelMissing(Unavailable):
    """The engine does not have the model: it was restarted, and the adapter is to be loaded."""


class PromptTooLong(TooLarge):
    """The prompt and the room for its answer are longer than the engine's context."""


class CacheMiss(Exception):
    """A picture was sent by name alone, and the engine has forgotten it."""


class EngineDied(Exception):
    """The engine's server still answers, but what computes behind it is dead."""


def failure_of(status: int, body: bytes, retry_after: str | None) -> Exception:
    """The failure that an engine's answer of 400 or more stands for.

    The engine's words stay out of it: they may hold paths and what was sent.
    """
    message = _message(body)
    if status == 400 and _CACHE_MISS in message:
        return CacheMiss()
    if status in (400, 413) and any(words in message for words in _TOO_LONG):
        return PromptTooLong("the prompt does not fit the model's context")
    if status >= 500 and any(words in message for words in _DEAD):
        return EngineDied()
    return _by_status(status, retry_after)


def _by_status(status: int, retry_after: str | None) -> ServiceError | EngineDied:
    match status:
        case 404:
            return ModelMissing(
                "the engine does not have the model yet", retry_after_s=MODEL_RELOAD_S
            )
        case 401 | 403:
            return UpstreamFailed("the model server refuses our key")
        case 429:
            return Overloaded(
                "the model server is at capacity", retry_after_s=_seconds(retry_after)
            )
        case 502 | 503 | 504:
            return EngineDied()
        case _:
            return UpstreamFailed(f"the engine refused the request with status {status}")


def _message(body: bytes) -> str:
    """The text of an error in OpenAI's form, or in whatever form it came."""
    try:
        answer: Any = json.loads(body)
    except ValueError:
        return body[:2_000].decode("utf-8", "replace")
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    if isinstance(error, dict):
        return f"{error.get('type', '')} {error.get('message', '')}"
    return str(error)


def _seconds(retry_after: str | None) -> int | None:
    return int(retry_after) if retry_after is not None and retry_after.isdecimal() else None
