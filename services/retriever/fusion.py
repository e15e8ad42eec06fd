"""Reciprocal rank fusion."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from colloquy.contracts.retrieval import RANK_CONSTANT


def fuse(
    rankings: Mapping[str, Sequence[UUID]], weights: Mapping[str, float] | None = None
) -> list[tuple[UUID, float]]:
    """Every id that any method ranks, best first, with the sum of 1/(60 + rank), ranks from 1.

    Equal scores are ordered by id, so the same rankings always give the same order.

    Args:
        weights: what a method's part of the sum is multiplied by; 1 where nothing is said.

    Source: Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and
    individual Rank Learning Methods", SIGIR 2009.
    """
    scores: dict[UUID, float] = {}
    for method in sorted(rankings):  # sums of floats depend on their order
        weight = (weights or {}).get(method, 1.0)
        for rank, id_ in enumerate(rankings[method], start=1):
            scores[id_] = scores.get(id_, 0.0) + weight / (RANK_CONSTANT + rank)
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))
