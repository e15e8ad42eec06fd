"""A dialogue in a file: JSON whose pictures may be paths to files beside it."""

import base64
import json
import mimetypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

from colloquy.cli.failure import CommandFailed

_ELSEWHERE = ("data:", "https:", "http:", "blob:")


def read_dialogue(path: Path) -> dict[str, Any]:
    """The dialogue as it is written, or what stands under `dialogue` in a file of samples."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise CommandFailed(f"{path}: is not JSON: {error}") from error
    if isinstance(content, list):
        content = {"utterances": content}
    if isinstance(content, dict) and isinstance(content.get("dialogue"), dict):
        content = content["dialogue"]
    if not isinstance(content, dict) or not isinstance(content.get("utterances"), list):
        raise CommandFailed(f"{path}: is not a dialogue: an object with a list `utterances`")
    return content


def with_pictures(
    dialogue: dict[str, Any], folder: Path, upload: Callable[[str], str]
) -> dict[str, Any]:
    """The dialogue with every picture that is a path replaced by what `upload` makes of its
    `data:` URL; a picture that is shown twice is uploaded once."""
    known: dict[str, str] = {}

    def part_of(part: Any) -> Any:
        url = part.get("image_url", {}).get("url") if isinstance(part, dict) else None
        if not isinstance(url, str) or url.startswith(_ELSEWHERE):
            return part
        if url not in known:
            known[url] = upload(data_url(folder / url.removeprefix("file:")))
        return {**part, "image_url": {**part["image_url"], "url": known[url]}}

    def turn_of(turn: Any) -> Any:
        if not isinstance(turn, dict) or not isinstance(turn.get("content"), list):
            return turn
        return {**turn, "content": [part_of(part) for part in turn["content"]]}

    return {**dialogue, "utterances": [turn_of(turn) for turn in dialogue["utterances"]]}


def data_url(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}") from error
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
