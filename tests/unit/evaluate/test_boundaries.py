from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.evaluate import boundaries
from training.evaluate.boundaries import EveryFew, Hits, TextTiling, hits, starts, true_starts
from training.evaluate.cases import WorldCase
from training.evaluate.split import compare

PLACES = st.sets(st.integers(1, 40))


@pytest.fixture(scope="module")
def cases(samples):
    return [WorldCase(entry.dialogue) for entry in samples]


@pytest.mark.parametrize(
    ("fragments", "expected"),
    [
        ([[0, 1, 2]], set()),
        ([[0, 1], [2, 3], [4]], {2, 4}),
        ([[0, 1, 4], [2, 3]], {2, 4}),
        ([], set()),
    ],
)
def test_a_boundary_is_where_a_run_of_neighbours_begins(fragments, expected) -> None:
    assert starts(fragments) == expected


def test_a_boundary_that_is_one_turn_off_counts_only_when_near_is_enough() -> None:
    assert hits({5}, {6}) == Hits(0, 1, 1)
    assert hits({5}, {6}, near_turns=1) == Hits(1, 0, 0)


def test_a_true_boundary_is_matched_once() -> None:
    assert hits({5}, {4, 5, 6}, near_turns=1) == Hits(1, 2, 0)


@given(PLACES, PLACES)
def test_without_tolerance_hits_are_the_common_places(gold, predicted) -> None:
    found = hits(gold, predicted)

    assert found == Hits(len(gold & predicted), len(predicted - gold), len(gold - predicted))
    assert 0 <= found.f1 <= 1


@given(PLACES, PLACES)
def test_tolerance_only_helps_and_the_sums_hold(gold, predicted) -> None:
    exact, near = hits(gold, predicted), hits(gold, predicted, near_turns=1)

    assert near.tp >= exact.tp
    assert near.tp + near.fp == len(predicted)
    assert near.tp + near.fn == len(gold)


def test_the_right_split_of_the_world_is_all_right(cases) -> None:
    rivals = boundaries.tuned(cases)
    result = compare(cases, [true_starts(case) for case in cases], rivals)

    assert result["model"]["f1"] == 1.0
    assert result["exactly_right"] == 1.0
    assert all(d["low"] > 0 for d in result["model_less_baseline"].values())


def test_a_fixed_length_begins_a_fragment_every_few_turns(cases) -> None:
    turns = len(cases[0].texts)

    assert EveryFew(3).predict(cases[0]) == set(range(3, turns, 3))


def test_a_boundary_is_a_deep_valley_of_likeness() -> None:
    texts = ["a cat and a cat", "the cat", "cat", "dog", "the dog", "a dog", "the dog"]
    case = SimpleNamespace(texts=texts)

    assert TextTiling(window_turns=2, deviations=0.5).predict(case) == {3}
    assert TextTiling(2, 9.0).predict(case) == set()
    assert 3 in TextTiling(2, -9.0).predict(case)
    assert TextTiling(2, 0.0).predict(SimpleNamespace(texts=["alone"])) == set()


def test_a_flat_valley_is_one_boundary_and_boundaries_keep_apart() -> None:
    texts = ["cat", "cat", "sun", "tea", "pen", "dog", "dog", "cup", "ink", "dog"]
    case = SimpleNamespace(texts=texts)

    assert TextTiling(window_turns=1, deviations=-9.0).predict(case) == {4, 8}
    assert TextTiling(1, -9.0, apart_turns=5).predict(case) == {4}
