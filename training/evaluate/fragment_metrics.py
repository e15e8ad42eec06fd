"""How well predicted utterances and pictures cover the gold ones: F1 and Matthews correlation.

The definitions are those of F2RVLM's released evaluation, its oddities included, so that a number
here compares with a published one:

* *micro*: true and false positives and negatives are summed over all queries first. The headline.
* *macro*: each query is scored, then averaged; a query that has no gold counts 1 or 0.
* joint precision and recall are the harmonic mean of the utterances' and the pictures', joint F1
  and MCC the arithmetic mean.

Source: F2RVLM (arXiv:2508.17714) and its released evaluation script.
"""

import math
from collections.abc import Collection, Hashable, Iterable
from dataclasses import asdict, dataclass
from typing import Self

DEFAULT_MAX_ID = 20
"""The largest id there is taken to be where a prompt numbers nothing, as upstream."""

Ids = frozenset[Hashable]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Utterances and pictures, gold or predicted.

    Ids are whole numbers, save what a foreign model wrote. None is something no set could be made
    of: upstream then leaves out this modality and what comes after it.
    """

    utterances: Ids | None
    images: Ids | None

    @classmethod
    def of(cls, utterances: Iterable[Hashable] = (), images: Iterable[Hashable] = ()) -> Self:
        return cls(frozenset(utterances), frozenset(images))

    @property
    def empty(self) -> bool:
        return not self.utterances and not self.images


@dataclass(frozen=True, slots=True)
class Judged:
    """One query: what was right, what was predicted, and out of which ids."""

    gold: Chosen
    predicted: Chosen
    max_utterance_id: int = DEFAULT_MAX_ID
    max_image_id: int = DEFAULT_MAX_ID

    @classmethod
    def over(cls, gold: Chosen, predicted: Chosen, *, turns: int, images: int) -> Self:
        """Judges over a dialogue of so many turns and pictures, as its prompt would be read."""
        return cls(
            gold,
            predicted,
            turns - 1 if turns else DEFAULT_MAX_ID,
            images - 1 if images else DEFAULT_MAX_ID,
        )


@dataclass(frozen=True, slots=True)
class Counts:
    """A confusion matrix over ids."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn
        )

    @classmethod
    def of(cls, gold: Ids, predicted: Ids, max_id: int) -> Self:
        """Counts over the ids 0 to `max_id`; a predicted id beyond it is a false positive."""
        return cls(
            len(gold & predicted),
            len(predicted - gold),
            len(gold - predicted),
            max_id + 1 - _within(gold | predicted, max_id),
        )


@dataclass(frozen=True, slots=True)
class Scores:
    precision: float
    recall: float
    f1: float
    mcc: float

    @classmethod
    def of(cls, counts: Counts) -> Self:
        tp, fp, fn, tn = counts.tp, counts.fp, counts.fn, counts.tn
        precision = tp / (tp + fp) if tp + fp else 0.0
        recall = tp / (tp + fn) if tp + fn else 0.0
        return cls(precision, recall, harmonic(precision, recall), _mcc(tp, fp, fn, tn))

    @classmethod
    def joint(cls, utterance: Self, image: Self) -> Self:
        return cls(
            harmonic(utterance.precision, image.precision),
            harmonic(utterance.recall, image.recall),
            (utterance.f1 + image.f1) / 2,
            (utterance.mcc + image.mcc) / 2,
        )

    def rounded(self) -> dict[str, float]:
        """By name, to four decimals, as upstream prints them."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Report:
    """Utterance, image and joint scores over a set of queries."""

    utterance: Scores
    image: Scores
    joint: Scores

    def rounded(self) -> dict[str, dict[str, float]]:
        return {
            "utterance": self.utterance.rounded(),
            "image": self.image.rounded(),
            "joint": self.joint.rounded(),
        }


@dataclass(frozen=True, slots=True)
class Emptiness:
    """How the model does when nothing answers, and when something does.

    Attributes:
        right_when_empty: share of the queries without gold that got an empty prediction.
        false_empty: share of the queries with gold that got one.
    """

    without_gold: int
    right_when_empty: float | None
    with_gold: int
    false_empty: float | None


def micro(judged: Iterable[Judged]) -> Report:
    """Sums counts over all queries, then scores them once."""
    utterance, image = sum_counts(judged)
    scored = Scores.of(utterance), Scores.of(image)
    return Report(*scored, Scores.joint(*scored))


def sum_counts(judged: Iterable[Judged]) -> tuple[Counts, Counts]:
    """The summed confusion matrices of utterances and of pictures."""
    utterance = image = Counts()
    for entry in judged:
        gold, predicted = entry.gold, entry.predicted
        if gold.utterances is None or predicted.utterances is None:
            continue
        utterance += Counts.of(gold.utterances, predicted.utterances, entry.max_utterance_id)
        if gold.images is not None and predicted.images is not None:
            image += Counts.of(gold.images, predicted.images, entry.max_image_id)
    return utterance, image


def macro(judged: Iterable[Judged]) -> Report:
    """Scores every query, then averages; upstream has it beside the micro form."""
    reports = [report for entry in judged if (report := _one(entry)) is not None]
    return Report(
        _mean([report.utterance for report in reports]),
        _mean([report.image for report in reports]),
        _mean([report.joint for report in reports]),
    )


def emptiness(judged: Collection[Judged]) -> Emptiness:
    without = [entry for entry in judged if entry.gold.empty]
    within = [entry for entry in judged if not entry.gold.empty]
    return Emptiness(len(without), _empty_share(without), len(within), _empty_share(within))


def harmonic(one: float, other: float) -> float:
    return 2 * one * other / (one + other) if one + other > 0 else 0.0


def _one(entry: Judged) -> Report | None:
    gold, predicted = entry.gold, entry.predicted
    if (
        gold.utterances is None
        or gold.images is None
        or predicted.utterances is None
        or predicted.images is None
    ):
        return None
    utterance = _one_modality(gold.utterances, predicted.utterances, entry.max_utterance_id)
    image = _one_modality(gold.images, predicted.images, entry.max_image_id)
    return Report(utterance, image, Scores.joint(utterance, image))


def _one_modality(gold: Ids, predicted: Ids, max_id: int) -> Scores:
    # Unlike in the micro form, a predicted id that does not exist is not counted against the MCC.
    mcc = _mcc(
        len(gold & predicted),
        _within(predicted - gold, max_id),
        _within(gold - predicted, max_id),
        max_id + 1 - _within(gold | predicted, max_id),
    )
    if not gold:
        right = 0.0 if predicted else 1.0
        return Scores(right, right, right, mcc)
    hits = len(gold & predicted)
    precision = hits / len(predicted) if predicted else 0.0
    recall = hits / len(gold)
    return Scores(precision, recall, harmonic(precision, recall), mcc)


def _mcc(tp: int, fp: int, fn: int, tn: int) -> float:
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / math.sqrt(product) if product > 0 else 0.0


def _within(ids: Ids, max_id: int) -> int:
    """How many of `ids` are among 0 to `max_id`; 1.0 is 1, as in a set."""
    return sum(isinstance(i, int | float) and 0 <= i <= max_id and i == int(i) for i in ids)


def _mean(scores: Collection[Scores]) -> Scores:
    if not scores:
        return Scores(0.0, 0.0, 0.0, 0.0)
    rows = [(s.precision, s.recall, s.f1, s.mcc) for s in scores]
    return Scores(*(sum(column) / len(rows) for column in zip(*rows, strict=True)))


def _empty_share(judged: Collection[Judged]) -> float | None:
    return sum(entry.predicted.empty for entry in judged) / len(judged) if judged else None
