"""How well a split finds where topics change: F1 over boundaries, and baselines for it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from training.evaluate.bootstrap import Floats
from training.evaluate.cases import WorldCase
from training.evaluate.lexical import words

NEAR_TURNS = 1
LENGTHS = range(2, 16)
WINDOWS = (1, 2, 3)
STEPS = 20


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
class WordGap:
    """A boundary where few words are shared by the turns before and after it.

    Source: the idea of TextTiling (M. Hearst, 1997), over windows of turns.
    """

    window_turns: int
    threshold: float

    name = "shared words"

    @property
    def settings(self) -> dict[str, float]:
        return {"window_turns": self.window_turns, "threshold": self.threshold}

    def predict(self, case: WorldCase) -> set[int]:
        shared = _shared_words(case, self.window_turns)
        return {turn for turn, share in enumerate(shared, start=1) if share < self.threshold}


Splitter = EveryFew | WordGap


def tuned(validation: Sequence[WorldCase]) -> list[Splitter]:
    gaps = [WordGap(window, step / STEPS) for window in WINDOWS for step in range(1, STEPS // 2)]
    return [
        _best([EveryFew(turns) for turns in LENGTHS], validation),
        _best(gaps, validation),
    ]


def total(found: Sequence[Hits]) -> Hits:
    return sum(found, Hits())


def judge(splitter: Splitter, cases: Sequence[WorldCase], near_turns: int = 0) -> list[Hits]:
    return [hits(true_starts(case), splitter.predict(case), near_turns) for case in cases]


def _best(candidates: Sequence[Splitter], validation: Sequence[WorldCase]) -> Splitter:
    return max(candidates, key=lambda candidate: total(judge(candidate, validation)).f1)


def _shared_words(case: WorldCase, window_turns: int) -> list[float]:
    """For each gap between turns, Jaccard's share of words common to both sides."""
    turns = [set(words(text)) for text in case.texts]
    shares = []
    for gap in range(1, len(turns)):
        before: set[str] = set().union(*turns[max(0, gap - window_turns) : gap])
        after: set[str] = set().union(*turns[gap : gap + window_turns])
        union = before | after
        shares.append(len(before & after) / len(union) if union else 0.0)
    return shares
