"""The chain of the starter's stages: what was kept of one is taken while recipes are the same."""

import json
from pathlib import Path

import pytest

from training import starter
from training.ending import Refused
from training.recipe import file_hash


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A chain of one stage, and a folder to run it in."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "tokenizer.yaml").write_text(
        "{kind: tokenizer, name: tokenizer, vocabulary: 900, dialogues: 1}\n"
    )
    return folder


def kept(folder: Path, hashes: dict[str, str]) -> Path:
    (folder / "tokenizer" / "model").mkdir(parents=True)
    (folder / "tokenizer" / "model" / "tokenizer.json").write_text("kept")
    (folder / "tokenizer" / starter.MADE_BY).write_text(json.dumps(hashes))
    return folder


def test_a_stage_depends_on_every_recipe_before_it() -> None:
    found = starter.recipes_before(starter.RECIPES, "fragment")
    assert set(found) == {"fragment", "base", "matching", "reading", "vision", "tokenizer"}
    assert found["base"] == file_hash(starter.RECIPES / "base.yaml")


def test_what_was_kept_of_the_same_recipe_is_taken(recipes: Path, tmp_path: Path) -> None:
    hashes = {"tokenizer": file_hash(recipes / "tokenizer.yaml")}
    starter.train_all(recipes, kept(tmp_path / "kept", hashes))
    taken = Path("training/runs/tokenizer")
    assert (taken / "model" / "tokenizer.json").read_text() == "kept"
    assert json.loads((taken / starter.DONE).read_text()) == {"recipe": hashes["tokenizer"]}


def test_what_was_kept_of_another_recipe_is_not(recipes: Path, tmp_path: Path) -> None:
    ran: list[Path] = []

    def run(path: Path) -> Path:
        ran.append(path)
        (Path("training/runs/tokenizer")).mkdir(parents=True)
        return path

    starter.train_all(recipes, kept(tmp_path / "kept", {"tokenizer": "of another"}), run)
    assert ran == [recipes / "tokenizer.yaml"]


def test_a_stage_that_has_not_finished_is_not_kept(recipes: Path) -> None:
    assert recipes.exists()
    with pytest.raises(Refused, match="tokenizer: has not finished"):
        starter.keep("tokenizer")
