"""What a request shows, as LamRA's protocol takes it; and how less of it is shown."""

from collections.abc import Callable, Sequence

from colloquy.contracts.content import ImagePart, Part, TextPart
from colloquy.protocols import lamra
from colloquy.protocols.lamra import Content, Picture


def query_of(parts: Sequence[Part], instruction: str) -> Content:
    """Pictures first, then one text that begins with the instruction, as published."""
    pictures = [Picture(part.image_url.url) for part in parts if isinstance(part, ImagePart)]
    text = " ".join(part.text for part in parts if isinstance(part, TextPart))
    return [*pictures, lamra.query_text(instruction, text)]


def candidate_of(parts: Sequence[Part], *, tidied: bool) -> Content:
    """Text and pictures in their order.

    Args:
        tidied: a candidate of one text is tidied as published. Fragments of dialogues are not:
            a capital and a full stop belong to a sentence.
    """
    alone = sum(isinstance(part, TextPart) for part in parts) == 1
    content: list[str | Picture] = []
    for part in parts:
        if isinstance(part, ImagePart):
            content.append(Picture(part.image_url.url))
        else:
            content.append(lamra.format_string(part.text) if tidied and alone else part.text)
    return content


def pictures_of(content: Content) -> list[str]:
    return [part.ref for part in content if isinstance(part, Picture)]


def without_last_picture(content: Content) -> Content:
    last = max(place for place, part in enumerate(content) if isinstance(part, Picture))
    return [part for place, part in enumerate(content) if place != last]


def beginning(content: Content, room: int, cost: Callable[[str | Picture], int]) -> Content:
    """The first pictures and lines of `content` whose costs add up to no more than `room`.

    A line that does not fit is left out, and what follows it. A text that is not written in lines,
    and a first line, are cut between two words.
    """
    kept: list[str | Picture] = []
    for unit in _units(content):
        price = cost(unit)
        if price > room:
            first = not any(isinstance(part, str) for part in kept)
            if isinstance(unit, str) and (first or not unit.endswith("\n")):
                kept.append(_shortened(unit, room, cost))
            break
        room -= price
        kept.append(unit)
    return kept


def _units(content: Content) -> list[str | Picture]:
    units: list[str | Picture] = []
    for part in content:
        if isinstance(part, str):
            units += part.splitlines(keepends=True)
        else:
            units.append(part)
    return units


def _shortened(line: str, room: int, cost: Callable[[str | Picture], int]) -> str:
    """The longest beginning of `line` that costs no more than `room`, to the end of a word."""
    low, high = 0, len(line)
    while low < high:
        middle = (low + high + 1) // 2
        if cost(line[:middle]) <= room:
            low = middle
        else:
            high = middle - 1
    kept = line[:low]
    words = kept.rfind(" ")
    # Chinese has no spaces: what stands before the last one may be next to nothing.
    return kept[:words] if words > len(kept) // 2 else kept
