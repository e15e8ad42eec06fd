"""What models find by themselves is added up as the services add it up."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from tests.starter import ROOT
from training.evaluate import retrieval_offline as retrieval


def test_ranks_are_fused_by_weight_and_a_missing_picture_says_nothing() -> None:
    parts = {
        "lamra": np.array([[0.9, 0.1, 0.5]], dtype=np.float32),
        "clip": np.array([[0.2, 0.8, retrieval.NOWHERE]], dtype=np.float32),
    }
    assert retrieval.fused(parts, {"lamra": 2.0}) == pytest.approx(
        np.array([[2 / 61 + 1 / 62, 2 / 63 + 1 / 61, 2 / 62]])
    )


def test_only_what_a_method_proposes_is_fused() -> None:
    scores = np.linspace(1, 0.5, retrieval.PROPOSALS + 1, dtype=np.float32)[None]
    fused = retrieval.fused({"clip": scores}, {})[0]
    assert fused[-2] == pytest.approx(1 / (60 + retrieval.PROPOSALS))
    assert fused[-1] == 0


def test_p_yes_is_added_to_the_fused_score_as_places() -> None:
    fused = np.array([[0.030, 0.029, 0.028, 0.027]], dtype=np.float32)
    p_yes = np.array([[0.0, 0.9, 1.0, -1.0]], dtype=np.float32)
    assert retrieval.reranked(fused, p_yes, 2.0) == pytest.approx(
        np.array([[0.030, 0.029 + 1.8 / 61, 0.028 + 2 / 61, 0.027]])
    )
    assert retrieval.reranked(fused, p_yes, 0.0)[0].argmax() == 0


def test_recall_counts_a_query_once() -> None:
    scores = np.array([[0.9, 0.8, 0.1], [0.1, 0.2, 0.3]], dtype=np.float32)
    assert retrieval.recalls(scores, [[0, 1], [0]])["recall_at_1"] == 0.5
    assert retrieval.recalls(scores, [[0, 1], [0]])["recall_at_5"] == 1.0


def test_accuracy_is_of_the_best_right_and_the_best_wrong_candidate() -> None:
    queries = [SimpleNamespace(gold=(2, 0)), SimpleNamespace(gold=(1,)), SimpleNamespace(gold=())]
    found: Any = SimpleNamespace(queries=queries, fragments=range(3))
    scores = np.array([[0.1, 0.5, 0.9], [0.9, 0.5, 0.1], [0.9, 0.5, 0.1]], dtype=np.float32)
    pairs = retrieval.contested(found, scores)
    assert pairs == {0: [2, 1], 1: [1, 0]}  # nothing answers the third
    p_yes = np.array([[0.0, 0.4, 0.9], [0.6, 0.8, 0.0], [0.0, 0.0, 0.0]], dtype=np.float32)
    assert retrieval.accuracy(pairs, p_yes) == 0.75
    assert retrieval.first(scores, 2) == {0: [2, 1], 1: [0, 1], 2: [0, 1]}


def test_voices_are_those_of_a_profile(tmp_path: Path) -> None:
    served = yaml.safe_load((ROOT / "profiles" / "starter.yaml").read_text())
    served["gateway"]["rerank_weight"] = 7
    for retriever, weights in (({"fusion_weights": {"lamra": 4}}, {"lamra": 4}), ({}, {})):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(served | {"retriever": retriever}))
        assert retrieval.Voices.of(path) == retrieval.Voices(weights, 7)
