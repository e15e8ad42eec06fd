"""How high the first relevant fragment stands: hit-rate recall, as LamRA's released evaluation.

Recall@k is 1 where any of the first k is relevant, else 0, and averaged over the queries: a rate
of hits, not a share of the gold.

What is relevant: a returned fragment is relevant to a query when it is of the same dialogue as one
of the query's gold fragments and

* *half*: holds at least half of that gold fragment's utterances. The headline: a topic that was cut
  too short or too long still leads to the place.
* *alike*: intersection over union of the two sets of utterances is at least one half. The stricter
  rule, which a fragment that swallows its dialogue does not pass. It implies the other.

Source: LamRA (arXiv:2412.01720), `compute_recall_at_k` of the released code.
"""

from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np

from training.data.world.corpus import CorpusQuery
from training.evaluate.bootstrap import Floats, Interval, paired_interval
from training.evaluate.corpus_set import Found, HeldOut

KS = (1, 5, 10, 20)
Rule = Literal["half", "alike"]
Rank = int | None
"""The place of the first relevant one, from 1; None where none is."""


def is_relevant(found: Sequence[int], gold: Sequence[int], rule: Rule) -> bool:
    """Whether utterances of the same dialogue as `gold` are relevant to it."""
    one, other = set(found), set(gold)
    shared = len(one & other)
    of = len(other) if rule == "half" else len(one | other)
    return shared > 0 and 2 * shared >= of


def first_relevant(
    held_out: HeldOut, query: CorpusQuery, found: Sequence[Found], rule: Rule
) -> Rank:
    gold = held_out.gold(query)
    for place, fragment in enumerate(found, start=1):
        number = held_out.number_of(fragment["dialogue_id"])
        if any(
            one.dialogue == number
            and is_relevant(fragment["utterance_ids"], one.utterance_ids, rule)
            for one in gold
        ):
            return place
    return None


def first_of(relevant: set[str], ranked: Sequence[str]) -> Rank:
    """The place of the first of `ranked` that is relevant."""
    return next((place for place, one in enumerate(ranked, start=1) if one in relevant), None)


def recall_at(ranks: Sequence[Rank], k: int) -> float:
    return sum(_is_hit(rank, k) for rank in ranks) / len(ranks)


def recalls(ranks: Sequence[Rank], ks: Sequence[int] = KS) -> dict[str, float]:
    return {f"recall@{k}": round(recall_at(ranks, k), 4) for k in ks}


def recall_difference(
    one: Sequence[Rank],
    other: Sequence[Rank],
    clusters: Sequence[Hashable],
    k: int,
    *,
    seed: int = 0,
) -> Interval:
    """Recall@k of `one` less that of `other` on the same queries, with its 95% interval.

    Args:
        clusters: for each query, what is drawn together with it.
    """
    return paired_interval(_rows(one, k), _rows(other, k), clusters, _share, seed=seed)


def _rows(ranks: Sequence[Rank], k: int) -> Floats:
    """(queries, 2): hits, and one for each query, so that sums of both make a mean."""
    return np.array([[_is_hit(rank, k), 1.0] for rank in ranks], dtype=np.float64)


def _share(sums: Floats) -> Floats:
    return np.asarray(sums[..., 0] / np.maximum(sums[..., 1], 1), dtype=np.float64)


def _is_hit(rank: Rank, k: int) -> bool:
    return rank is not None and rank <= k
