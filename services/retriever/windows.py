"""A text too long for a model, in pieces that fit: nothing of it is lost."""

import re
from collections.abc import Callable, Iterable, Iterator

Size = Callable[[str], int]
_WORD = re.compile(r"\s+|\S+\s*")


def windows(text: str, size: Size, most: int) -> list[str]:
    """Cuts `text` into pieces of at most `most`, by `size`: between lines, else words, else
    characters. A text that fits stays as it is.

    To measure is what costs, so words are not measured one by one: all that is measured together is
    a few times the text, however long it is.

    Args:
        size: of a piece, in tokens; never smaller for a longer piece.
        most: at least the size of any single character, else that character stands alone.
    """
    if size(text) <= most:
        return [text]
    parts = list(_parted(text, size, most))
    pieces: list[str] = []
    start, count = 0, 1
    while start < len(parts):

        def fits(number: int, start: int = start) -> bool:
            return size("".join(parts[start : start + number])) <= most

        count = _largest(fits, len(parts) - start, count)
        pieces.append("".join(parts[start : start + count]))
        start += count
    return [stripped for piece in pieces if (stripped := piece.strip())] or [""]


def _parted(text: str, size: Size, most: int) -> Iterator[str]:
    """Lines that fit; of a line that does not, words; of a word that does not, runs of
    characters."""
    for line, fits in _judged(text.splitlines(keepends=True), size, most):
        if fits:
            yield line
            continue
        for word, fits_too in _judged(_WORD.findall(line), size, most):
            if fits_too:
                yield word
            else:
                yield from _runs(word, size, most)


def _judged(parts: Iterable[str], size: Size, most: int) -> Iterator[tuple[str, bool]]:
    """Each part, and whether it fits; parts that fit together fit each by itself."""
    left = list(parts)
    start, together, step = 0, 1, 0
    while start < len(left):
        few = left[start : start + together]
        if size("".join(few)) <= most:
            yield from ((part, True) for part in few)
            start, together = start + len(few), together + (step or together)
        elif len(few) == 1:
            yield few[0], False
            start += 1
        else:  # from here on it grows slowly, so that it seldom comes to this again
            together, step = len(few) // 2, 1


def _runs(word: str, size: Size, most: int) -> Iterator[str]:
    start, length = 0, 1
    while start < len(word):

        def fits(number: int, start: int = start) -> bool:
            return size(word[start : start + number]) <= most

        length = _largest(fits, len(word) - start, length)
        yield word[start : start + length]
        start += length


def _largest(fits: Callable[[int], bool], limit: int, guess: int) -> int:
    """The largest number up to `limit` that fits, found near `guess`; 1 where none does."""
    good, bad = 1, limit + 1
    asked, step = guess, 1
    while bad - good > 1:
        asked = min(max(asked, good + 1), bad - 1)
        if fits(asked):
            good, asked = asked, asked + step if bad > limit else (asked + bad) // 2
        else:
            bad, asked = asked, asked - step if good == 1 else (good + asked) // 2
        step *= 2
    return good
