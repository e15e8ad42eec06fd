"""A checkpoint of TRL's trainer: whole, undamaged and its own recipe's, or not gone on with."""

import json
from pathlib import Path

import pytest

from training import trainer_checkpoints, whole
from training.ending import Refused
from training.origin import Origin
from training.trainer_checkpoints import MARK

ORIGIN = Origin({"seed": 1})


def saved(folder: Path, step: int) -> Path:
    made = folder / f"checkpoint-{step}"
    made.mkdir()
    (made / "adapter_model.safetensors").write_bytes(b"weights")
    mark = json.loads(ORIGIN.as_json()) | {"files": whole.hash_of(made)}
    (made / MARK).write_text(json.dumps(mark))
    return made


def test_the_newest_whole_one_is_taken_and_half_ones_are_removed(tmp_path: Path) -> None:
    assert trainer_checkpoints.last(tmp_path, ORIGIN) is None
    saved(tmp_path, 2)
    newest = saved(tmp_path, 10)
    (saved(tmp_path, 12) / MARK).unlink()
    assert trainer_checkpoints.last(tmp_path, ORIGIN) == newest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-2"]


def test_a_damaged_one_is_refused(tmp_path: Path) -> None:
    before, newest = saved(tmp_path, 2), saved(tmp_path, 4)
    (newest / "adapter_model.safetensors").write_bytes(b"weight5")
    with pytest.raises(Refused, match="checkpoint-4: is damaged; remove it to go on from"):
        trainer_checkpoints.last(tmp_path, ORIGIN)
    (newest / "adapter_model.safetensors").unlink()
    with pytest.raises(Refused, match="is damaged"):
        trainer_checkpoints.last(tmp_path, ORIGIN)
    newest.rename(tmp_path / "moved-away")
    assert trainer_checkpoints.last(tmp_path, ORIGIN) == before


def test_another_recipes_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, 2)
    with pytest.raises(Refused, match="made by another recipe: seed was 1 and is 2"):
        trainer_checkpoints.last(tmp_path, Origin({"seed": 2}))
