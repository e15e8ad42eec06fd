"""Predictions beside baselines, over the same queries, as one record."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from training.evaluate.baselines import Baseline
from training.evaluate.bootstrap import joint_f1_difference
from training.evaluate.cases import Question
from training.evaluate.fragment_metrics import Chosen, Judged, emptiness, macro, micro

AGAINST = 0
"""Which baseline the goal is measured against: plain BM25, the first."""


def compare(
    questions: Sequence[Question], predicted: Sequence[Chosen], baselines: Sequence[Baseline]
) -> dict[str, Any]:
    """Scores the model and every baseline, the differences with their intervals, and breakdowns."""
    judged = _judge(questions, predicted)
    dialogues = [question.case.world.id for question in questions]
    rivals = {
        baseline.name: _judge(questions, [baseline.predict(question) for question in questions])
        for baseline in baselines
    }
    return {
        "model": scored(judged),
        "baselines": {
            baseline.name: {"settings": baseline.settings, **scored(rivals[baseline.name])}
            for baseline in baselines
        },
        "model_less_baseline": {
            name: asdict(joint_f1_difference(judged, rival, dialogues))
            for name, rival in rivals.items()
        },
        "by": breakdown(questions, judged, rivals[baselines[AGAINST].name]),
    }


def scored(judged: Sequence[Judged]) -> dict[str, Any]:
    return {
        "queries": len(judged),
        "micro": micro(judged).rounded(),
        "macro": macro(judged).rounded(),
        "emptiness": asdict(emptiness(judged)),
    }


def breakdown(
    questions: Sequence[Question], judged: Sequence[Judged], rival: Sequence[Judged]
) -> dict[str, dict[str, dict[str, Any]]]:
    """For each fact and each of its values: how many queries, and how right, BM25 beside."""
    facts = [question.facts for question in questions]
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for fact in facts[0] if facts else ():
        for value in sorted({entry[fact] for entry in facts}):
            is_it = [entry[fact] == value for entry in facts]
            found.setdefault(fact, {})[value] = _part(_where(judged, is_it), _where(rival, is_it))
    return found


def _part(judged: list[Judged], rival: list[Judged]) -> dict[str, Any]:
    report, empty = micro(judged), emptiness(judged)
    return {
        "queries": len(judged),
        # Without gold there is nothing to find: F1 would be 0 whatever was answered.
        "joint_f1": round(report.joint.f1, 4) if empty.with_gold else None,
        "utterance_f1": round(report.utterance.f1, 4) if empty.with_gold else None,
        "image_f1": round(report.image.f1, 4) if empty.with_gold else None,
        "right_when_empty": empty.right_when_empty,
        "false_empty": empty.false_empty,
        "baseline_joint_f1": round(micro(rival).joint.f1, 4) if empty.with_gold else None,
    }


def _judge(questions: Sequence[Question], predicted: Sequence[Chosen]) -> list[Judged]:
    return [q.judge(chosen) for q, chosen in zip(questions, predicted, strict=True)]


def _where(judged: Sequence[Judged], is_it: Sequence[bool]) -> list[Judged]:
    return [entry for entry, wanted in zip(judged, is_it, strict=True) if wanted]
