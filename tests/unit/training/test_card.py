"""Cards say how good a model is, beside others and over seeds."""

from pathlib import Path

import pytest

from training import card, rivals


def test_an_interval_over_three_runs_is_students() -> None:
    mean, half = rivals.interval([0.70, 0.72, 0.74])
    assert mean == pytest.approx(0.72)
    assert half == pytest.approx(4.303 * 0.02 / 3**0.5, rel=1e-3)


def test_one_run_has_no_interval() -> None:
    with pytest.raises(ValueError, match="takes 2 to 5 runs, there are 1"):
        rivals.interval([0.7])


def test_a_card_shows_the_model_first_and_what_others_reach(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "curves.png").write_bytes(b"drawn")
    card.write(
        tmp_path, "fragment", "9", {"joint_f1": 0.8, "prompts": 3},
        beside={"BM25": {"joint_f1": 0.4}, "another": {}},
        seeds={"joint_f1": (0.79, 0.02)},
        run=run,
    )  # fmt: skip
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "| fragment@9 | 0.800 |\n| BM25 | 0.400 |\n| another | – |" in text
    assert "joint f1 0.790 ± 0.020" in text
    assert "![Loss, validation and learning rate](curves.png)" in text
    assert (tmp_path / "curves.png").read_bytes() == b"drawn"


def test_a_card_compares_only_what_others_have_too(tmp_path: Path) -> None:
    metrics = {"recall_at_1": 0.7, "fused_recall_at_1": 0.8}
    card.write(tmp_path, "embed", "9", metrics, beside={"BM25": {"recall_at_1": 0.1}})
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "| fused recall at 1 | 0.8 |" in text
    assert "| | recall at 1 |\n|---|---:|\n| embed@9 | 0.700 |\n| BM25 | 0.100 |" in text


def test_baselines_are_measured_on_the_same_prompts() -> None:
    found = rivals.rows("fragment", "validation", 30)
    assert all(0 <= metrics["joint_f1"] <= 1 for metrics in found.values())
    assert found["BM25, true count"]["right_when_empty"] == 1.0
    splitters = rivals.rows("split", "validation", 10)
    assert splitters
    assert all(0 <= metrics["boundary_f1"] <= 1 for metrics in splitters.values())
