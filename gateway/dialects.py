"""How others write what is to be embedded or ranked: their shapes, read as content parts.

One content is a string, `{"text": …}`, `{"image": …}` or both (Jina), one OpenAI part, a list of
OpenAI parts, or `{"content": …}` around any of these (vLLM). A string that is a `data:` URL of an
image is that image (NIM). Every place is named as the caller wrote it.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeGuard

from colloquy.contracts.content import MAX_PARTS, MAX_TEXT_CHARACTERS, ImagePart, TextPart
from colloquy.contracts.problem import Fault
from colloquy.servicekit.problems import Malformed
from gateway.pictures import Placed

_DATA_IMAGE = "data:image/"
_LONGEST_SCHEME = 16
_MAX_DEPTH = 64


def contents_of(value: Any, at: str) -> list[list[Placed]]:
    """The contents of OpenAI's `input`: one, or a list of them.

    Raises:
        Malformed: it is nothing of the kind; the fault names the place.
    """
    if isinstance(value, str | dict):
        return [content_of(value, at)]
    if not isinstance(value, list) or not value:
        raise wrong(at, "must be a text, a content or a list of them")
    if all(_is_number(one) for one in value) or any(_is_tokens(one) for one in value):
        raise wrong(at, "holds token numbers, which are not taken: send the text itself")
    return [content_of(one, f"{at}/{place}") for place, one in enumerate(value)]


def content_of(value: Any, at: str) -> list[Placed]:
    """One content.

    Raises:
        Malformed: it is none; the fault names the place.
    """
    if isinstance(value, str):
        return [_text_or_image(value, at)]
    if isinstance(value, list):
        return _parts(value, at)
    if not isinstance(value, dict):
        raise wrong(at, "must be a text, an object or a list of content parts")
    if "content" in value:
        inner, at = value["content"], f"{at}/content"
        if isinstance(inner, dict) and "content" in inner:
            raise wrong(at, "must be a text, a content part or a list of them")
        return content_of(inner, at)
    if "type" in value:
        return [_part(value, at)]
    found: list[Placed] = []
    if value.get("image") is not None:
        found.append(_image(value["image"], f"{at}/image"))
    if value.get("text") is not None:
        found.append(_text(value["text"], f"{at}/text"))
    if not found:
        raise wrong(at, "needs `text` or `image`")
    return found


def of_messages(messages: Sequence[dict[str, Any]], at: str) -> list[Placed]:
    """vLLM's form: what the user's messages say, as one content.

    Instructions in a system message are those of other models; ours is put before a query anyway.

    Raises:
        Malformed: there is no user's message, or its content is wrong.
    """
    found = [
        part
        for place, message in enumerate(messages)
        if message.get("role") == "user"
        for part in content_of(message.get("content"), f"{at}/{place}/content")
    ]
    if not found:
        raise wrong(at, "needs a message with the role `user`")
    if len(found) > MAX_PARTS:
        raise wrong(at, f"may have at most {MAX_PARTS} parts")
    return found


def check_depth(value: Any, at: str) -> None:
    """What goes back to the caller as it came must be written again, which has its bounds.

    Raises:
        Malformed: it is nested too deeply.
    """
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            return
    raise wrong(at, f"is nested more than {_MAX_DEPTH} deep, too much to be returned")


def pictures_first(content: Sequence[Placed]) -> list[Placed]:
    """A query as LamRA was published: pictures, then text."""
    return sorted(content, key=lambda placed: not isinstance(placed[0], ImagePart))


def wrong(at: str, why: str) -> Malformed:
    return Malformed(f"{at} {why}", faults=[Fault(at=at, why=why)])


def _parts(value: list[Any], at: str) -> list[Placed]:
    if not 0 < len(value) <= MAX_PARTS:
        raise wrong(at, f"must have 1 to {MAX_PARTS} parts")
    return [_part(one, f"{at}/{place}") for place, one in enumerate(value)]


def _part(value: Any, at: str) -> Placed:
    if not isinstance(value, dict):
        raise wrong(at, "must be a content part")
    match value.get("type"):
        case "text" | "input_text":
            return _text(value.get("text"), f"{at}/text")
        case "image_url" | "input_image" | "image":
            return _image(value.get("image_url", value.get("image")), f"{at}/image_url")
        case _:
            raise wrong(f"{at}/type", "must be text or image_url")


def _text_or_image(value: str, at: str) -> Placed:
    if value[: len(_DATA_IMAGE)].lower() == _DATA_IMAGE:
        return _image(value, at)
    return _text(value, at)


def _text(value: Any, at: str) -> Placed:
    if not isinstance(value, str) or not value.strip():
        raise wrong(at, "must be a text that is not blank")
    if len(value) > MAX_TEXT_CHARACTERS:
        raise wrong(at, f"must have at most {MAX_TEXT_CHARACTERS} characters")
    return TextPart(text=value), at


def _image(value: Any, at: str) -> Placed:
    if isinstance(value, dict):
        value, at = value.get("url"), f"{at}/url"
    if not isinstance(value, str) or not value:
        raise wrong(at, "must be the address of an image")
    if ":" not in value[:_LONGEST_SCHEME]:
        value = "data:;base64," + value  # Jina's clients send the bare bytes
    return ImagePart.of(value), at


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _is_number(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_number(one) for one in value)
