"""Pictures on their way to an engine: sent once, then by name for as long as it remembers them."""

import base64
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

from colloquy.engine.requests import EngineImage

_REMEMBERED = 8_192


class PictureMemory:
    """Which pictures the engine has seen, as far as we know. A wrong guess costs one resend."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        return key in self._seen

    def learn(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._seen[key] = None
            self._seen.move_to_end(key)
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)

    def forget(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._seen.pop(key, None)


def content_parts(
    content: Sequence[str | EngineImage], *, tenant: str, named: bool, memory: PictureMemory
) -> tuple[list[dict[str, Any]], list[str]]:
    """Writes a user turn in OpenAI's parts.

    Args:
        named: the engine keeps pictures by name (vLLM's `uuid`).
        memory: pictures in it go by name alone.

    Returns:
        The parts, and the names of the pictures among them.
    """
    parts: list[dict[str, Any]] = []
    keys: list[str] = []
    for piece in content:
        if isinstance(piece, str):
            if piece:
                parts.append({"type": "text", "text": piece})
            continue
        if not named:
            parts.append({"type": "image_url", "image_url": {"url": _data_url(piece)}})
            continue
        key = piece.cache_key(tenant)
        url = None if key in memory else {"url": _data_url(piece)}
        parts.append({"type": "image_url", "image_url": url, "uuid": key})
        keys.append(key)
    return parts, keys


def _data_url(image: EngineImage) -> str:
    return f"data:{image.media_type};base64,{base64.b64encode(image.data).decode()}"
