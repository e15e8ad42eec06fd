"""Nothing that is published is touched before all that replaces it is there."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from training import export
from training.kept import BASE_FILES
from training.recipe import RUNS
from training.staging import staged


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which `base` and `fragment` of version 7 are published."""
    monkeypatch.chdir(tmp_path)
    for task in ("base", "fragment"):
        folder = tmp_path / "out" / task / "7"
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
    return tmp_path / "out"


def told(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *only: str,
    version: str = "7",
) -> str:
    """What the command refuses with."""
    words = ["export", "--version", version, "--out", "out"]
    monkeypatch.setattr(sys, "argv", words + (["--only", *only] if only else []))
    assert export.main() == 2
    return capsys.readouterr().err


def ran(*tasks: str) -> None:
    for task in tasks:
        model = RUNS / task / "model"
        model.mkdir(parents=True)
        for name in (*BASE_FILES, export.weights_of(task)):
            (model / name).write_text("{}")


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


@pytest.mark.parametrize("version", ["", ".", "..", "../split/1", "/tmp/other", "a b", "7\n"])
def test_a_version_is_no_path(
    published: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    version: str,
) -> None:
    ran("base")
    assert f"version: {version!r} is none" in told(monkeypatch, capsys, "base", version=version)
    assert (published / "base" / "7" / "manifest.json").exists()


def test_what_is_published_stays_until_all_that_replaces_it_is_made(
    published: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran("base")
    weights = RUNS / "base" / "model" / "model.safetensors"
    weights.write_bytes(b"cut")
    assert f"{weights}: is damaged" in told(monkeypatch, capsys, "base")
    save_file({"one": torch.full((2,), torch.nan)}, weights)
    assert f"{weights}: holds a weight that is not finite" in told(monkeypatch, capsys, "base")
    weights.unlink()
    assert f"base: there is no {weights}" in told(monkeypatch, capsys, "base")
    assert (published / "base" / "7" / "manifest.json").read_text() == "{}"
    assert sorted(path.name for path in published.iterdir()) == ["base", "fragment"]


def test_what_is_made_takes_the_place_of_what_was_published(published: Path) -> None:
    with staged(published, "7", ["base"]) as stage:
        assert (stage / "fragment" / "7" / "manifest.json").exists(), "to be measured with"
        (stage / "base" / "7").mkdir(parents=True)
        (stage / "base" / "7" / "manifest.json").write_text("new")
    assert (published / "base" / "7" / "manifest.json").read_text() == "new"
    assert (published / "fragment" / "7" / "manifest.json").read_text() == "{}"
    assert sorted(path.name for path in published.iterdir()) == ["base", "fragment"]
