"""Micro F1 against the fixture of upstream's evaluation."""

import pytest

from colloquy.protocols import f2rvlm
from training import scoring

FIXTURE = [
    (([1, 2, 3], [0]), ([1, 2, 3], [0])),
    (([1, 2, 3], [0]), ([2, 3, 4], [1])),
    (([], []), ([], [])),
    (([5], []), ([5, 6], [])),
]


def test_fragment_scores_equal_upstream() -> None:
    gold = [f2rvlm.format_answer(*wanted) for wanted, _ in FIXTURE]
    told = [f2rvlm.format_answer(*got) for _, got in FIXTURE]
    scores = scoring.fragment_scores(told, gold)
    assert scores["utterance_f1"] == pytest.approx(0.8)
    assert scores["image_f1"] == pytest.approx(0.5)
    assert scores["joint_f1"] == pytest.approx(0.65)
    assert scores["right_when_empty"] == 1.0


def test_a_malformed_answer_counts_as_empty_and_not_as_well_formed() -> None:
    scores = scoring.fragment_scores(["nonsense"], [f2rvlm.format_answer([1], [])])
    assert (scores["well_formed"], scores["false_empty"]) == (0.0, 1.0)


def test_split_scores_count_boundaries() -> None:
    scores = scoring.split_scores(["[[0, 1], [2, 3]]"], ["[[0], [1], [2, 3]]"])
    assert scores["boundary_f1"] == pytest.approx(2 / 3)
    assert scores["well_formed"] == 1.0
