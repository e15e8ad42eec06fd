"""A text too long for a model, in pieces that fit: nothing of it is lost."""

from collections.abc import Callable, Iterator


def windows(text: str, size: Callable[[str], int], most: int) -> list[str]:
    """Cuts `text` into pieces of at most `most`, by `size`: between lines, else words, else
    characters. A text that fits stays as it is.

    Args:
        size: of a piece, in tokens; never smaller for a longer piece.
        most: at least the size of any single character, else that character stands alone.
    """
    if size(text) <= most:
        return [text]
    pieces: list[str] = []
    held = ""
    for piece in _parted(text, size, most):
        if held and size(held + piece) > most:
            pieces.append(held)
            held = ""
        held += piece
    pieces.append(held)
    return [stripped for piece in pieces if (stripped := piece.strip())] or [""]


def _parted(text: str, size: Callable[[str], int], most: int) -> Iterator[str]:
    """Lines that fit; of a line that does not, words; of a word that does not, runs of
    characters."""
    for line in text.splitlines(keepends=True):
        if size(line) <= most:
            yield line
            continue
        for word in _words(line):
            if size(word) <= most:
                yield word
            else:
                yield from _runs(word, size, most)


def _words(line: str) -> Iterator[str]:
    start = 0
    for end in range(1, len(line)):
        if line[end - 1].isspace() and not line[end].isspace():
            yield line[start:end]
            start = end
    yield line[start:]


def _runs(word: str, size: Callable[[str], int], most: int) -> Iterator[str]:
    start = 0
    while start < len(word):
        length = _longest(word[start:], size, most)
        yield word[start : start + length]
        start += length


def _longest(word: str, size: Callable[[str], int], most: int) -> int:
    """Characters of the longest beginning that fits, found by doubling and then halving."""
    fits, fails = 1, 2
    while fails <= len(word) and size(word[:fails]) <= most:
        fits, fails = fails, fails * 2
    fails = min(fails, len(word) + 1)
    while fails - fits > 1:
        middle = (fits + fails) // 2
        if size(word[:middle]) <= most:
            fits = middle
        else:
            fails = middle
    return fits
