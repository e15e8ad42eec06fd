import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.evaluate.bootstrap import f1, joint_f1, joint_f1_difference, paired_interval
from training.evaluate.fragment_metrics import Chosen, Judged, micro

CHOSEN = st.builds(Chosen, st.frozensets(st.integers(0, 9)), st.frozensets(st.integers(0, 3)))


def judge(gold: Chosen, predicted: Chosen) -> Judged:
    return Judged.over(gold, predicted, turns=10, images=4)


def many(right: float, seed: int, count: int = 120) -> tuple[list[Judged], list[int]]:
    """Queries of which about a share `right` is answered rightly, three to a dialogue."""
    rng = np.random.default_rng(seed)
    judged = []
    for _ in range(count):
        gold = Chosen.of(map(int, rng.choice(10, 3, replace=False)), [int(rng.integers(4))])
        wrong = Chosen.of(map(int, rng.choice(10, 3, replace=False)), [int(rng.integers(4))])
        judged.append(judge(gold, gold if rng.random() < right else wrong))
    return judged, [number // 3 for number in range(count)]


def test_the_same_seed_gives_the_same_interval() -> None:
    (one, dialogues), (other, _) = many(0.8, 1), many(0.6, 2)

    first = joint_f1_difference(one, other, dialogues, seed=5)
    assert first == joint_f1_difference(one, other, dialogues, seed=5)
    assert first != joint_f1_difference(one, other, dialogues, seed=6)


def test_the_difference_is_that_of_the_micro_scores_and_lies_inside() -> None:
    (one, dialogues), (other, _) = many(0.8, 1), many(0.6, 2)
    found = joint_f1_difference(one, other, dialogues)

    assert found.difference == pytest.approx(micro(one).joint.f1 - micro(other).joint.f1)
    assert found.low < found.difference < found.high


def test_a_system_does_not_differ_from_itself() -> None:
    one, dialogues = many(0.7, 3)
    found = joint_f1_difference(one, one, dialogues)

    assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0)


def test_a_clear_difference_has_an_interval_above_zero_and_no_difference_has_not() -> None:
    (one, dialogues), (other, _), (like, _) = many(0.95, 1), many(0.2, 2), many(0.95, 9)

    assert joint_f1_difference(one, other, dialogues).low > 0
    same = joint_f1_difference(one, like, dialogues)
    assert same.low < 0 < same.high


def test_queries_that_hang_together_widen_the_interval() -> None:
    """The same numbers in few large clusters are worth fewer observations."""
    (one, _), (other, _) = many(0.9, 1), many(0.4, 2)
    alone = joint_f1_difference(one, other, list(range(len(one))))
    copies = joint_f1_difference(one * 4, other * 4, [*range(len(one))] * 4)

    assert copies.high - copies.low == pytest.approx(alone.high - alone.low, rel=0.15)


@settings(max_examples=30)
@given(st.lists(st.tuples(CHOSEN, CHOSEN, CHOSEN), min_size=1, max_size=6))
def test_changing_the_sides_changes_the_sign(triples) -> None:
    one = [judge(gold, a) for gold, a, _ in triples]
    other = [judge(gold, b) for gold, _, b in triples]
    dialogues = list(range(len(one)))
    forth = joint_f1_difference(one, other, dialogues)
    back = joint_f1_difference(other, one, dialogues)

    assert forth.difference == pytest.approx(-back.difference)
    assert forth.low == pytest.approx(-back.high)
    assert -1 <= forth.low <= forth.high <= 1


@given(st.lists(st.tuples(CHOSEN, CHOSEN), min_size=1, max_size=6))
def test_the_vectorised_score_is_the_micro_score(pairs) -> None:
    judged = [judge(gold, predicted) for gold, predicted in pairs]
    nothing = [judge(gold, Chosen.of()) for gold, _ in pairs]

    found = joint_f1_difference(judged, nothing, list(range(len(pairs))))
    assert found.difference == pytest.approx(micro(judged).joint.f1)


def test_the_number_of_draws_does_not_depend_on_how_they_are_cut() -> None:
    rows = np.array([[3.0, 1.0, 2.0], [0.0, 1.0, 1.0], [5.0, 0.0, 0.0]])
    found = paired_interval(rows, rows * 0, ["a", "b", "c"], f1, resamples=1_234)

    assert found.low <= found.difference <= found.high


def test_nothing_right_scores_zero_without_a_warning() -> None:
    assert joint_f1(np.zeros(6)) == 0.0
