"""A checkpoint belongs to its recipe and to the weights that the recipe begins with."""

from pathlib import Path

import pytest

from training import precision, whole
from training.ending import Refused
from training.origin import Origin
from training.recipe import ADAPTER

RECIPE = {
    "kind": "embed",
    "name": "x",
    "tokenizer": "words",
    "base": "earlier",
    "optimiser": {"learning_rate": 0.1, "warmup_steps": 0, "steps": 4},
    "bank_batches": 2,
    "text_batches": 1,
    "text_steps": 1,
    "batch_pairs": 2,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / "training" / "runs"
    (runs / "words" / "model").mkdir(parents=True)
    base = runs / "earlier" / "model"
    base.mkdir(parents=True)
    (base / "model.safetensors").write_bytes(b"weights")
    return base


def test_the_same_recipe_on_the_same_weights_goes_on(folder: Path) -> None:
    made = Origin.of(ADAPTER.validate_python(RECIPE)).as_json()
    assert Origin.of(ADAPTER.validate_python(RECIPE)).check(made, folder) is None


def test_other_weights_to_begin_with_are_refused(folder: Path) -> None:
    made = Origin.of(ADAPTER.validate_python(RECIPE)).as_json()
    (folder / "model.safetensors").write_bytes(b"others!")
    with pytest.raises(Refused, match="another recipe: base's files was"):
        Origin.of(ADAPTER.validate_python(RECIPE)).check(made, folder)


def test_another_number_of_threads_is_remarked(folder: Path) -> None:
    origin = Origin({"seed": 1})
    other = origin.as_json().replace('"threads": ', '"threads": 9')
    remark = origin.check(other, folder)
    assert remark is not None
    assert "the weights may differ from those of a run without a break" in remark


def test_a_processor_that_computes_with_other_numbers_is_remarked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = Origin({"seed": 1})
    monkeypatch.setattr(precision, "name", lambda: "bfloat16")
    made = origin.as_json()
    assert origin.check(made, folder) is None
    monkeypatch.setattr(precision, "name", lambda: "float32")
    remark = origin.check(made, folder)
    assert remark is not None
    assert "numbers bfloat16" in remark
    assert "this process has numbers float32" in remark


def test_steps_of_later_stages_alone_may_grow() -> None:
    before = Origin({"read.steps": 4, "judge.steps": 4}).as_json()
    growing = frozenset({"judge.steps"})
    assert Origin({"read.steps": 4, "judge.steps": 9}, growing).check(before, Path("x")) is None
    with pytest.raises(Refused, match=r"read\.steps was 4 and is 9"):
        Origin({"read.steps": 9, "judge.steps": 4}, growing).check(before, Path("x"))


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    def fail(into: Path) -> None:
        (into / "half").touch()
        raise OSError("no room")

    folder = whole.write_folder(tmp_path / "model", lambda into: (into / "one").touch())
    with pytest.raises(OSError, match="no room"):
        whole.write_folder(folder, fail)
    assert [path.name for path in folder.iterdir()] == ["one"]
    whole.write_folder(folder, lambda into: (into / "two").touch())
    assert [path.name for path in folder.iterdir()] == ["two"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
