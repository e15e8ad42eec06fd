"""How sure a difference is: the paired bootstrap over dialogues.

Queries about one dialogue are not independent, so whole dialogues are drawn.

Source: B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluate.fragment_metrics import Judged, sum_counts

RESAMPLES = 4_000
CHUNK = 500
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A difference of two systems on the same queries, with its 95% interval."""

    difference: float
    low: float
    high: float


def joint_f1_difference(
    one: Sequence[Judged], other: Sequence[Judged], clusters: Sequence[Hashable], *, seed: int = 0
) -> Interval:
    """Micro joint F1 of `one` less that of `other`.

    Args:
        one, other: the same queries in the same order.
        clusters: for each query, what is drawn together with it: its dialogue.
    """
    return paired_interval(_rows(one), _rows(other), clusters, joint_f1, seed=seed)


def joint_f1(counts: Floats) -> Floats:
    """(…, 6) counts, TP FP FN of utterances and then of pictures, to (…) joint F1."""
    halves: Floats = f1(counts.reshape(*counts.shape[:-1], 2, 3))
    return np.asarray(halves.mean(axis=-1), dtype=np.float64)


def f1(counts: Floats) -> Floats:
    """(…, 3) counts TP FP FN to (…) F1, 0 where nothing is right."""
    tp, fp, fn = counts[..., 0], counts[..., 1], counts[..., 2]
    return np.asarray(2 * tp / np.maximum(2 * tp + fp + fn, 1), dtype=np.float64)


def paired_interval(
    one: Floats,
    other: Floats,
    clusters: Sequence[Hashable],
    score: Callable[[Floats], Floats],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """Draws clusters with replacement and scores both systems on the same draws.

    Args:
        one, other: (queries, n) counts that may be summed.
        score: (…, n) sums to (…) scores.
    """
    names = {name: place for place, name in enumerate(dict.fromkeys(clusters))}
    places = np.array([names[name] for name in clusters], dtype=np.int64)
    sums = np.zeros((2, len(names), one.shape[1]))
    for system, rows in enumerate((one, other)):
        np.add.at(sums[system], places, rows)
    rng = np.random.default_rng(seed)
    differences = []
    for start in range(0, resamples, CHUNK):
        size = min(CHUNK, resamples - start)
        weights = rng.multinomial(len(names), [1 / len(names)] * len(names), size=size)
        drawn = np.einsum("rc,scn->srn", weights.astype(np.float64), sums)
        differences.append(score(drawn[0]) - score(drawn[1]))
    low, high = np.percentile(np.concatenate(differences), (2.5, 97.5))
    whole = score(sums[0].sum(axis=0)) - score(sums[1].sum(axis=0))
    return Interval(float(whole), float(low), float(high))


def _rows(judged: Sequence[Judged]) -> Floats:
    rows = []
    for entry in judged:
        utterance, image = sum_counts([entry])
        rows.append([utterance.tp, utterance.fp, utterance.fn, image.tp, image.fp, image.fn])
    return np.array(rows, dtype=np.float64)
