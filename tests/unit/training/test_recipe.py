"""Recipes: all of the repository's are valid; what is wrong with one is a line with its place."""

import fcntl
from pathlib import Path

import pytest

from training import recipe_files, run
from training.ending import Refused

EVERY = sorted(Path("training/recipes").rglob("*.yaml"))
TOKENIZER = "kind: tokenizer\nname: x\nvocabulary: 10\ndialogues: 1\n"
VISION = """kind: vision
name: eye
tokenizer: nonesuch
optimiser: {learning_rate: 0.1, warmup_steps: 0, steps: 1}
batch_pictures: 1
"""
ADAPTER = """kind: adapter
name: few
task: split
base: nonesuch
optimiser: {learning_rate: 0.1, warmup_steps: 0, steps: 1}
batch_samples: 3
samples: 2
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return tmp_path / "mine.yaml"


@pytest.mark.parametrize("path", EVERY, ids=str)
def test_a_recipe_of_the_repository_is_valid(path: Path) -> None:
    assert recipe_files.load(path).name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            TOKENIZER + "vocabluary: 2\n",
            "vocabluary: is not a field here; the fields are dialogues",
        ),
        (VISION.replace("steps: 1}", "step: 1}"), "optimiser.steps: is required"),
        (VISION.replace("steps: 1}", "steps: 0}"), "optimiser.steps: must be greater than 0"),
        (VISION.replace("0.1", ".inf"), "optimiser.learning_rate: must be a finite number"),
        (VISION.replace("pictures: 1", "pictures: 0"), "batch_pictures: must be greater than 0"),
        (VISION.replace("nonesuch", "a/b"), "tokenizer: must have the form "),
        (TOKENIZER.replace("name: x", "name: ../x"), "name: must have the form "),
        (ADAPTER, "samples are fewer than batch_samples"),
        ("name: x\n", "kind: must be one of tokenizer, vision"),
        ("kind: fly\nname: x\n", "kind: must be one of tokenizer, vision"),
        ("- 1\n", "is not a YAML mapping"),
        ("", "is not a YAML mapping"),
        ("kind: tokenizer\nname: [\n", "line 3: "),
        (TOKENIZER + "name: y\n", "line 5: the key name stands twice"),
        ("? [a, b]\n: 1\n", "line 1: a key is one word"),
        ("? {a: b}\n: 1\n", "line 1: a key is one word"),
        ("a: &a {b: 1}\nc: {<<: *a}\n", "line 2: a key is one word; `<<` is not known"),
        (VISION + "seed: -1\n", "seed: must be at least 0"),
        (VISION + "seed: 0x1ffffffffffffffff\n", "seed: must be less than"),
        (VISION + "feature_rms: .nan\n", "feature_rms: must be a finite number"),
        (VISION + "architecture: {width: 97}\n", "architecture: width is no multiple of heads"),
        (VISION.replace("0.1", "1.0e+300"), "optimiser.learning_rate: must be at most 1"),
        ("!!python/object:os.system {}\n", "line 1: "),
        ("[" * 3_000, "is not YAML"),
        ("name: \x00\n", "is not YAML"),
    ],
)
def test_a_wrong_recipe_is_one_line_with_file_and_field(
    recipe: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe.write_text(text)
    assert run.main([str(recipe)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"colloquy train: {recipe}: {said}")
    assert err.count("\n") == 1


def test_bytes_that_are_no_text_are_refused(recipe: Path) -> None:
    recipe.write_bytes(b"\xff\xfe\x00kind")
    with pytest.raises(Refused, match="is not UTF-8 text"):
        recipe_files.load(recipe)


def test_a_recipe_is_found_by_path_or_by_name(recipe: Path) -> None:
    recipe.write_text(TOKENIZER)
    assert recipe_files.find(str(recipe)) == recipe
    assert recipe_files.find("smoke/vision").name == "vision.yaml"
    assert recipe_files.load(recipe_files.find("vision")).name == "vision"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nonesuch", "no recipe called so; base, clip, "),
        ("nonesuch.yaml", "nonesuch.yaml: there is no such file"),
        ("training/recipes", "is a folder"),
        ("../../nonesuch/passwd", "there is no such file"),
        ("x\0y", "there is no such file"),
    ],
)
def test_a_recipe_that_is_not_there_is_named(
    name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main([name]) == 2
    assert said in capsys.readouterr().err


def test_the_run_that_must_come_first_is_named_with_its_recipe(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe.write_text(VISION)
    (recipe.parent / "first.yaml").write_text(TOKENIZER.replace("name: x", "name: nonesuch"))
    assert run.main([str(recipe)]) == 2
    err = capsys.readouterr().err
    assert f"{recipe}: tokenizer: the run nonesuch has not ended" in err
    assert f"first `colloquy train {recipe.parent / 'first.yaml'}`" in err


def test_a_second_run_of_a_recipe_is_kept_out(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(recipe.parent)
    recipe.write_text(TOKENIZER)
    folder = Path("training/runs/x")
    folder.mkdir(parents=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run.main([str(recipe)]) == 2
    assert "training/runs/x: another process is training in it" in capsys.readouterr().err


def test_what_the_disk_says_is_one_line(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(recipe.parent)
    recipe.write_text(TOKENIZER)
    Path("training").touch()
    assert run.main([str(recipe)]) == 1
    assert capsys.readouterr().err == (
        "colloquy train: [Errno 20] Not a directory: 'training/runs/x'\n"
    )
