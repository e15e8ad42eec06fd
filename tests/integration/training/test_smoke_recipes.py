"""The smoke recipes of the retrieval models train from end to end, on the starter's base."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file

from tests.unit.training import tiny
from training.matching import WRITES

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[3]
RECIPES = ROOT / "training" / "recipes" / "smoke"


def trained(folder: Path, name: str) -> Path:
    """The result of a recipe, run as a person runs it, with its runs in `folder`."""
    tiny.leave_runs(folder)
    ended = subprocess.run(
        [sys.executable, "-m", "training.run", str(RECIPES / f"{name}.yaml")],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2_000:]
    return folder / ended.stdout.splitlines()[-1]


def losses(run: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (run / "progress.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


def finite(weights: dict[str, torch.Tensor]) -> bool:
    return all(bool(torch.isfinite(weight).all()) for weight in weights.values())


def test_the_recipe_of_the_embedding_trains_an_adapter(tmp_path: Path) -> None:
    model = trained(tmp_path, "embed")

    config: dict[str, Any] = json.loads((model / "adapter_config.json").read_text())
    weights = load_file(model / "adapter_model.safetensors")
    learnt = [weight for name, weight in weights.items() if "lora_B" in name]
    assert config["r"] == 4
    assert finite(weights)
    assert any(bool(weight.any()) for weight in learnt)  # they start as zeros
    assert all(math.isfinite(loss) for loss in losses(model.parent).values())


def test_the_recipe_of_the_reranker_teaches_every_layer(tmp_path: Path) -> None:
    model = trained(tmp_path, "rank")

    weights = load_file(model / "adapter_model.safetensors")
    learnt = {
        int(name.split(".layers.")[1].split(".")[0])
        for name, weight in weights.items()
        if "lora_B" in name and bool(weight.any())
    }
    assert finite(weights)
    assert learnt == set(range(tiny.SHAPE.layers)) - {WRITES}  # what is written stays comparable
    for stage in ("gather", "judge"):
        shown = losses(model.parent / stage)
        assert shown
        assert all(math.isfinite(loss) for loss in shown.values())


def test_the_recipe_of_the_clip_trains_what_open_clip_loads(tmp_path: Path) -> None:
    folder = trained(tmp_path, "clip")

    model = open_clip.create_model(f"local-dir:{folder}")
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(["a cake", "a kite"])
    with torch.inference_mode():
        vectors = model.encode_text(tokens)
    assert vectors.shape == (2, 64)
    assert finite(model.state_dict())
    assert not torch.equal(vectors[0], vectors[1])
    assert all(math.isfinite(loss) for loss in losses(folder.parent).values())
