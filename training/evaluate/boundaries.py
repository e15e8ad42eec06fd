"""How well a split finds where topics change: F1 over boundaries, and baselines for it."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, product
from math import hypot

import numpy as np

from training.evaluate.bootstrap import Floats
from training.evaluate.cases import WorldCase
from training.evaluate.lexical import words

NEAR_TURNS = 1
LENGTHS = range(2, 16)
WINDOWS = (1, 2, 3, 4, 6)
DEVIATIONS = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)
APART = (1, 3, 5)


@dataclass(frozen=True, slots=True)
class Hits:
    """Boundaries of one dialogue or of many: right, invented, missed."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: "Hits") -> "Hits":
        return Hits(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def precision(self) -> float:
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else 0.0

    @property
    def recall(self) -> float:
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else 0.0

    @property
    def f1(self) -> float:
        return 2 * self.tp / max(2 * self.tp + self.fp + self.fn, 1)


def starts(fragments: Sequence[Sequence[int]]) -> set[int]:
    """The turns at which a fragment begins, the dialogue's first turn left out.

    A fragment whose turns are not neighbours begins more than once.
    """
    return {
        turn
        for fragment in fragments
        for turn in fragment
        if turn > 0 and turn - 1 not in set(fragment)
    }


def true_starts(case: WorldCase) -> set[int]:
    return {stretch.start for stretch in case.world.stretches} - {0}


def hits(gold: Collection[int], predicted: Collection[int], near_turns: int = 0) -> Hits:
    """Matches each predicted boundary with at most one true one, at most `near_turns` away."""
    left = sorted(gold)
    matched = 0
    for place in sorted(predicted):
        close = [other for other in left if abs(other - place) <= near_turns]
        if close:
            # The earliest that is close enough: the greedy choice matches most on a line.
            left.remove(close[0])
            matched += 1
    return Hits(matched, len(predicted) - matched, len(gold) - matched)


def rows(found: Sequence[Hits]) -> Floats:
    return np.array([[one.tp, one.fp, one.fn] for one in found], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class EveryFew:
    """A boundary after every so many turns."""

    turns: int

    name = "fixed length"

    @property
    def settings(self) -> dict[str, float]:
        return {"turns": self.turns}

    def predict(self, case: WorldCase) -> set[int]:
        return set(range(self.turns, len(case.texts), self.turns))


@dataclass(frozen=True, slots=True)
class TextTiling:
    """A boundary in the middle of each valley of likeness that is deep enough.

    Likeness is the cosine of the words of the turns before and after a gap; a valley's depth is
    what the likeness falls from the nearest peaks on both sides. Deep enough is more than the
    dialogue's mean depth plus so many of its standard deviations. Of valleys closer together than
    so many turns the deepest counts.

    Source: M. Hearst, TextTiling (1997), block comparison, with turns for token sequences; without
    its stop words, stems and smoothing, which single short turns leave nothing of.
    """

    window_turns: int
    deviations: float
    apart_turns: int = 1

    name = "TextTiling"

    @property
    def settings(self) -> dict[str, float]:
        return {
            "window_turns": self.window_turns,
            "deviations": self.deviations,
            "apart_turns": self.apart_turns,
        }

    def predict(self, case: WorldCase) -> set[int]:
        likeness = _likeness(tuple(case.texts), self.window_turns)
        if not likeness:
            return set()
        depths = [_depth(likeness, gap) for gap in range(len(likeness))]
        enough = max(float(np.mean(depths) + self.deviations * np.std(depths)), 0.0)
        chosen: list[int] = []
        for gap in sorted(_valleys(likeness), key=lambda gap: (-depths[gap], gap)):
            far = all(abs(gap - other) >= self.apart_turns for other in chosen)
            if far and depths[gap] > enough:
                chosen.append(gap)
        return {gap + 1 for gap in chosen}


Splitter = EveryFew | TextTiling


def tuned(validation: Sequence[WorldCase]) -> list[Splitter]:
    tilings = [TextTiling(*settings) for settings in product(WINDOWS, DEVIATIONS, APART)]
    return [
        _best([EveryFew(turns) for turns in LENGTHS], validation),
        _best(tilings, validation),
    ]


def total(found: Sequence[Hits]) -> Hits:
    return sum(found, Hits())


def judge(splitter: Splitter, cases: Sequence[WorldCase], near_turns: int = 0) -> list[Hits]:
    return [hits(true_starts(case), splitter.predict(case), near_turns) for case in cases]


def _best(candidates: Sequence[Splitter], validation: Sequence[WorldCase]) -> Splitter:
    return max(candidates, key=lambda candidate: total(judge(candidate, validation)).f1)


@lru_cache(maxsize=4_096)  # tuning asks for the same dialogues a hundred times
def _likeness(texts: tuple[str, ...], window_turns: int) -> tuple[float, ...]:
    """For each gap between turns, the cosine of the words before it and those after it."""
    turns = [Counter(words(text)) for text in texts]
    found = []
    for gap in range(1, len(turns)):
        before = sum(turns[max(0, gap - window_turns) : gap], Counter[str]())
        after = sum(turns[gap : gap + window_turns], Counter[str]())
        common = sum(count * after[word] for word, count in before.items())
        lengths = hypot(*before.values()) * hypot(*after.values())
        found.append(common / lengths if lengths else 0.0)
    return tuple(found)


def _valleys(likeness: Sequence[float]) -> list[int]:
    """The middle gap of each run of equal likeness that is lower than what is beside it."""
    runs = [list(run) for _, run in groupby(range(len(likeness)), key=lambda gap: likeness[gap])]
    heights = [likeness[run[0]] for run in runs]
    return [
        run[len(run) // 2]
        for place, run in enumerate(runs)
        if heights[place] == min(heights[max(0, place - 1) : place + 2])
    ]


def _depth(likeness: Sequence[float], gap: int) -> float:
    """How far `gap` lies below the peaks that are reached by climbing to the left and right."""
    left, right = gap, gap
    while left > 0 and likeness[left - 1] >= likeness[left]:
        left -= 1
    while right + 1 < len(likeness) and likeness[right + 1] >= likeness[right]:
        right += 1
    return likeness[left] + likeness[right] - 2 * likeness[gap]
