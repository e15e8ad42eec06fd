from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.retriever.fusion import fuse

A, B, C = (UUID(int=number) for number in (1, 2, 3))
IDS = st.integers(0, 30).map(lambda number: UUID(int=number))
RANKINGS = st.dictionaries(
    st.sampled_from(["clip", "lamra", "bm25"]), st.lists(IDS, unique=True, max_size=15)
)


def test_scores_are_sums_of_reciprocal_ranks() -> None:
    fused = fuse({"clip": [A, B], "bm25": [B, C]})
    assert fused == [
        (B, pytest.approx(1 / 62 + 1 / 61)),
        (A, pytest.approx(1 / 61)),
        (C, pytest.approx(1 / 62)),
    ]


def test_a_weight_multiplies_the_part_of_its_method() -> None:
    fused = fuse({"clip": [A, B], "bm25": [B, C]}, {"bm25": 3.0})
    assert fused == [
        (B, pytest.approx(1 / 62 + 3 / 61)),
        (C, pytest.approx(3 / 62)),
        (A, pytest.approx(1 / 61)),
    ]


def test_equal_scores_are_ordered_by_id() -> None:
    assert [id_ for id_, _ in fuse({"clip": [B], "bm25": [A]})] == [A, B]


@given(RANKINGS)
def test_everything_that_was_ranked_is_there_once_and_best_first(
    rankings: dict[str, list[UUID]],
) -> None:
    fused = fuse(rankings)
    assert sorted(id_ for id_, _ in fused) == sorted({i for ids in rankings.values() for i in ids})
    assert [score for _, score in fused] == sorted((score for _, score in fused), reverse=True)


@given(RANKINGS)
def test_the_order_of_methods_does_not_matter(rankings: dict[str, list[UUID]]) -> None:
    assert fuse(dict(reversed(rankings.items()))) == fuse(rankings)


@given(st.lists(IDS, unique=True, max_size=15))
def test_one_method_keeps_its_order(ids: list[UUID]) -> None:
    assert [id_ for id_, _ in fuse({"clip": ids})] == ids


@given(RANKINGS, IDS)
def test_a_better_rank_never_lowers_a_score(rankings: dict[str, list[UUID]], id_: UUID) -> None:
    before = dict(fuse(rankings)).get(id_, 0.0)
    raised = {name: [id_, *(i for i in ids if i != id_)] for name, ids in rankings.items()}
    assert dict(fuse(raised)).get(id_, 0.0) >= before
