"""The chain of the starter's stages: what was kept of one is taken while recipes are the same."""

import json
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from training import kept, recipe_files, starter
from training.ending import Refused
from training.recipe import LOCK, AnyRecipe, file_hash


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


def kept_in(folder: Path, hashes: dict[str, str]) -> Path:
    (folder / "tokenizer" / "model").mkdir(parents=True)
    (folder / "tokenizer" / "model" / "tokenizer.json").write_text("kept")
    (folder / "tokenizer" / kept.MADE_BY).write_text(json.dumps(hashes))
    return folder


def test_a_stage_depends_on_every_recipe_before_it() -> None:
    found = kept.recipes_before(kept.recipes_in(recipe_files.RECIPES), "fragment")
    assert set(found) == {"fragment", "base", "matching", "reading", "vision", "tokenizer"}
    assert found["base"] == file_hash(recipe_files.RECIPES / "base.yaml")


def test_what_was_kept_of_the_same_recipe_is_taken(recipes: Path, tmp_path: Path) -> None:
    hashes = {"tokenizer": file_hash(recipes / "tokenizer.yaml")}
    starter.train_all(recipes, kept_in(tmp_path / "kept", hashes))
    taken = Path("training/runs/tokenizer")
    assert (taken / "model" / "tokenizer.json").read_text() == "kept"
    assert json.loads((taken / kept.DONE).read_text()) == hashes


def test_what_was_kept_of_another_recipe_is_not(recipes: Path, tmp_path: Path) -> None:
    ran: list[Path] = []

    def run(path: Path) -> Path:
        ran.append(path)
        (Path("training/runs/tokenizer")).mkdir(parents=True)
        return path

    starter.train_all(recipes, kept_in(tmp_path / "kept", {"tokenizer": "of another"}), run)
    assert ran == [recipes / "tokenizer.yaml"]


def test_a_stage_that_has_not_finished_is_not_kept(recipes: Path) -> None:
    assert recipes.exists()
    with pytest.raises(Refused, match="tokenizer: has not finished"):
        starter.keep("tokenizer")
    with pytest.raises(Refused, match="tokeniser: is no stage; tokenizer, vision, "):
        starter.keep("tokeniser")


@pytest.fixture
def kept_vision(recipes: Path, tmp_path: Path) -> Path:
    """Results of a second stage, whose model is the published one of another folder."""
    shutil.copy(recipe_files.RECIPES / "vision.yaml", recipes)
    folder = tmp_path / "kept" / "vision"
    folder.mkdir(parents=True)
    hashes = kept.recipes_before(kept.recipes_in(recipes), "vision")
    assert set(hashes) == {"vision", "tokenizer"}
    (folder / kept.MADE_BY).write_text(json.dumps(hashes))
    (folder / "heads.pt").write_text("kept heads")
    published = tmp_path / "starter" / "vision" / "2"
    published.mkdir(parents=True)
    for name in (*kept.BASE_FILES, kept.WEIGHTS):
        (published / name).write_text(f"published {name}")
    kept.write(folder / kept.MODEL, {str(one): file_hash(one) for one in published.iterdir()})
    kept.write(folder / kept.FILES, kept.files_of(folder))
    return published


def test_what_only_a_kept_stage_begins_with_is_not_run(
    recipes: Path, tmp_path: Path, kept_vision: Path
) -> None:
    assert kept_vision.exists()
    starter.train_all(recipes, tmp_path / "kept", lambda path: pytest.fail(f"ran {path}"))
    taken = Path("training/runs/vision")
    assert (taken / "heads.pt").read_text() == "kept heads"
    assert (taken / "model" / kept.WEIGHTS).read_text() == f"published {kept.WEIGHTS}"
    assert not Path("training/runs/tokenizer").exists()


@pytest.fixture
def kept_here(
    monkeypatch: pytest.MonkeyPatch, recipes: Path, tmp_path: Path, kept_vision: Path
) -> AnyRecipe:
    """The repository has that chain and those results; a recipe that begins with both stages."""
    assert kept_vision.exists()
    monkeypatch.setattr(kept, "RECIPES", recipes)
    monkeypatch.setattr(kept, "KEPT", tmp_path / "kept")
    return recipe_files.load(recipe_files.RECIPES / "reading.yaml")


def test_a_recipe_by_itself_takes_the_kept_stages_that_it_begins_with(kept_here: AnyRecipe) -> None:
    assert kept.take_earlier(kept_here) == ["vision"]  # of the tokenizer nothing was kept
    assert Path("training/runs/vision/model", kept.WEIGHTS).exists()
    assert kept.take_earlier(kept_here) == [], "what is there stays"
    shutil.rmtree("training/runs/vision/model")  # as if the copy had been cut
    assert kept.take_earlier(kept_here) == ["vision"]


def test_two_recipes_that_start_together_take_a_stage_once(
    monkeypatch: pytest.MonkeyPatch, kept_here: AnyRecipe
) -> None:
    copied, copy = [], shutil.copytree

    def slowly(*arguments: Any, **named: Any) -> None:
        copied.append(arguments)
        time.sleep(0.3)
        copy(*arguments, **named)

    monkeypatch.setattr(shutil, "copytree", slowly)
    with ThreadPoolExecutor(2) as pool:
        taken = list(pool.map(kept.take_earlier, [kept_here, kept_here]))
    assert taken == [["vision"], ["vision"]]
    assert len(copied) == 1


def test_a_run_that_has_begun_here_is_not_replaced_by_a_kept_one(kept_here: AnyRecipe) -> None:
    Path("training/runs/vision").mkdir(parents=True)
    Path("training/runs/vision", LOCK).touch()
    assert kept.take_earlier(kept_here) == []


def test_of_a_changed_recipe_nothing_is_taken(recipes: Path, kept_here: AnyRecipe) -> None:
    with (recipes / "vision.yaml").open("a") as file:
        file.write("# changed\n")
    assert kept.take_earlier(kept_here) == []
    assert not Path("training/runs/vision").exists()


def test_without_kept_stages_each_runs_after_those_it_begins_with(
    recipes: Path, kept_vision: Path
) -> None:
    assert kept_vision.exists()
    ran: list[str] = []

    def run(path: Path) -> Path:
        ran.append(path.stem)
        Path("training/runs", path.stem).mkdir(parents=True)
        return path

    starter.train_all(recipes, None, run)
    assert ran == ["tokenizer", "vision"]


def test_a_published_model_that_was_changed_is_refused(
    recipes: Path, tmp_path: Path, kept_vision: Path
) -> None:
    (kept_vision / kept.WEIGHTS).write_text("another")
    with pytest.raises(Refused, match=r"model.json: .*model.safetensors has another sha256; bring"):
        starter.train_all(recipes, tmp_path / "kept")
    (kept_vision / kept.WEIGHTS).write_text(f"published {kept.WEIGHTS}")
    (kept_vision / "config.json").unlink()
    with pytest.raises(Refused, match=r"model.json: there is no .*/config.json; bring it back"):
        starter.train_all(recipes, tmp_path / "kept")
    assert not Path("training/runs/vision").exists()


def test_a_kept_stage_that_was_changed_is_refused(
    recipes: Path, tmp_path: Path, kept_vision: Path
) -> None:
    assert kept_vision.exists()
    heads = tmp_path / "kept" / "vision" / "heads.pt"
    heads.write_text("")
    with pytest.raises(Refused, match=r"files.json: .*heads.pt has another sha256; bring it back"):
        starter.train_all(recipes, tmp_path / "kept")
    heads.unlink()
    with pytest.raises(Refused, match=r"files.json: there is no .*heads.pt"):
        starter.train_all(recipes, tmp_path / "kept")


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}x", "\ud800", '{"a": 1}'])
def test_a_damaged_list_of_hashes_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / kept.MADE_BY
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(Refused, match=r"recipes.json: is damaged; delete it, or bring it back"):
        kept.read(path)


def test_recipes_that_begin_with_each_other_have_an_end(recipes: Path) -> None:
    content = (recipe_files.RECIPES / "vision.yaml").read_text()
    (recipes / "vision.yaml").write_text(
        content.replace("tokenizer: tokenizer", "tokenizer: vision")
    )
    assert set(kept.recipes_before(kept.recipes_in(recipes), "vision")) == {"vision"}


def test_a_model_that_is_published_is_kept_by_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    model, published = Path("training/runs/base/model"), Path("starter/base/2")
    published.mkdir(parents=True)
    for name in kept.BASE_FILES:
        (published / name).write_text(name)
    for folder, dtype in ((model, torch.float32), (published, torch.bfloat16)):
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"one": torch.linspace(0, 1, 7).to(dtype)}, folder / kept.WEIGHTS)
    hashes = kept.recipes_before(kept.recipes_in(recipe_files.RECIPES), "base")
    (model.parent / kept.DONE).write_text(json.dumps(hashes))
    kept_there = starter.keep("base", published)
    named = json.loads((kept_there / kept.MODEL).read_text())
    weights = published / kept.WEIGHTS
    assert named[str(weights)] == file_hash(weights)
    assert len(named) == len(kept.BASE_FILES) + 1
    assert not (kept_there / "model").exists()
    weights.write_bytes(b"cut")
    with pytest.raises(Refused, match=r"starter/base/2/model.safetensors: "):
        starter.keep("base", published)
    assert (kept_there / kept.MODEL).exists(), "what was kept stays until it is replaced"
    save_file({"one": torch.zeros(7, dtype=torch.bfloat16)}, weights)
    assert (starter.keep("base", published) / "model" / kept.WEIGHTS).exists()
    shutil.rmtree(model)
    with pytest.raises(Refused, match="base: there is no training/runs/base/model"):
        starter.keep("base", published)
    assert (kept_there / kept.FILES).exists()


def test_a_stage_that_finished_with_another_recipe_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    hashes = kept.recipes_before(kept.recipes_in(recipe_files.RECIPES), "base")
    mark = Path("training/runs/base", kept.DONE)
    mark.parent.mkdir(parents=True)
    mark.write_text(json.dumps(hashes | {"matching": "of another"}))
    kept_before = Path("training/stages/base")
    kept_before.mkdir(parents=True)
    with pytest.raises(Refused, match="base: finished with other recipes"):
        starter.keep("base")
    assert kept_before.exists()


@pytest.mark.parametrize(
    ("words", "said"), [(["--keep", ""], ": is no stage; "), (["--version", ".."], "version: '..'")]
)
def test_a_wrong_call_is_refused_before_anything_is_trained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["starter", *words])
    monkeypatch.setattr(starter, "train_all", lambda *_: pytest.fail("began to train"))
    assert starter.main() == 2
    assert said in capsys.readouterr().err


def test_a_stage_runs_again_when_a_recipe_before_it_changes(recipes: Path) -> None:
    ran: list[str] = []

    def run(path: Path) -> Path:
        ran.append(path.stem)
        Path("training/runs", path.stem).mkdir(parents=True, exist_ok=True)
        return path

    shutil.copy(recipe_files.RECIPES / "vision.yaml", recipes)
    starter.train_all(recipes, None, run)
    starter.train_all(recipes, None, run)
    assert ran == ["tokenizer", "vision"]
    earlier = recipes / "tokenizer.yaml"
    earlier.write_text(earlier.read_text().replace("900", "901"))
    starter.train_all(recipes, None, run)
    assert ran == ["tokenizer", "vision"] * 2
