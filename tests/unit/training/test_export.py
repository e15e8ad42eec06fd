"""Nothing that is published is touched before all that replaces it is there."""

import sys
from pathlib import Path

import pytest

from training import export
from training.recipe import RUNS


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which `base` and `fragment` of version 7 are published."""
    monkeypatch.chdir(tmp_path)
    for task in ("base", "fragment"):
        folder = tmp_path / "out" / task / "7"
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
    return tmp_path / "out"


def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *only: str) -> str:
    """What the command refuses with."""
    words = ["export", "--version", "7", "--out", "out"]
    monkeypatch.setattr(sys, "argv", words + (["--only", *only] if only else []))
    assert export.main() == 2
    return capsys.readouterr().err


def ran(*tasks: str) -> None:
    for task in tasks:
        (RUNS / task / "model").mkdir(parents=True)


def test_a_run_that_left_no_model_is_named_and_what_is_published_stays(
    published: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran("base", "fragment")
    missing = "split: there is no training/runs/split/model; first `colloquy train split`"
    assert missing in told(monkeypatch, capsys)
    assert (published / "base" / "7" / "manifest.json").exists()
    assert missing in told(monkeypatch, capsys, "fragment", "split")
    assert (published / "fragment" / "7" / "manifest.json").exists()


def test_an_adapter_is_measured_on_a_base_that_is_there(
    published: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran("rank")
    assert "embed: is not published in out/embed/7; name it too" in told(
        monkeypatch, capsys, "rank"
    )
    (published / "base" / "7" / "manifest.json").unlink()
    assert "base: is not published in out/base/7" in told(monkeypatch, capsys, "rank")
