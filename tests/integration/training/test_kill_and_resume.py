"""kill -9 at any step, then the same command: the weights are those of a run without a break."""

import multiprocessing
import random
import signal
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests import starter
from tests.doubles import training_runs
from tests.doubles.small_training import STEPS, Small
from tests.doubles.training_runs import cut, said, start_recipe, start_small, steps_in
from tests.unit.training import tiny
from training.checkpoint import CHECKPOINT

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[3]
SMOKE = ROOT / "training" / "recipes" / "smoke"
ADAPTER_STEPS = 7
STATUS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    """Loads the libraries once for all runs of this file."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(training_runs.PRELOADED)
    return found


# --- the loop ---------------------------------------------------------------------------------


def state(folder: Path) -> dict[str, torch.Tensor]:
    """Weights and the optimiser's moments."""
    found: dict[str, Any] = torch.load(folder / CHECKPOINT, weights_only=True)
    assert found["step"] == STEPS
    moments = found["optimiser"]["state"]
    return found["module"] | {
        f"{number}.{name}": value for number, own in moments.items() for name, value in own.items()
    }


@pytest.mark.parametrize("processes", [1, 2])
def test_a_loop_that_is_killed_ends_with_the_same_weights(
    context: ForkServerContext, tmp_path: Path, processes: int
) -> None:
    whole = Small(tmp_path / "whole", processes, "spawn", step_seconds=0.0)
    alone = start_small(context, whole)
    alone.join(120)
    assert alone.exitcode == 0, said(whole.folder)

    small = Small(tmp_path / "cut", processes)
    log = small.folder / "progress.jsonl"
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
        process = start_small(context, small)
        code = cut(process, log, after=random.randint(1, 15), number=number)
        assert code == STATUS[number], said(small.folder)
    assert said(small.folder).count("which is saved; the same command goes on") == 2
    last = start_small(context, small)
    last.join(120)
    assert last.exitcode == 0, said(small.folder)

    one, other = state(whole.folder), state(small.folder)
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_processes_refuse_another_recipe_in_one_line(
    context: ForkServerContext, tmp_path: Path
) -> None:
    small = Small(tmp_path, 2)
    (tmp_path / CHECKPOINT).write_bytes(b"half of it")
    process = start_small(context, small)
    process.join(60)
    assert process.exitcode == 2
    path = tmp_path / CHECKPOINT
    assert said(tmp_path) == f"small: {path}: is cut off or damaged; remove it to begin again\n"


# --- TRL's trainer ----------------------------------------------------------------------------


def folder_with_base(folder: Path) -> Path:
    """Where the run before has left the starter's base."""
    run = folder / "training" / "runs" / "smoke-base"
    run.mkdir(parents=True)
    (run / "model").symlink_to(starter.folder_of("base"))
    return folder


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smoke recipe with more steps, more of them than there are batches."""
    content = yaml.safe_load((SMOKE / "sft.yaml").read_text())
    content["optimiser"]["steps"] = ADAPTER_STEPS
    content |= {"batch_samples": 1, "samples": 4, "save_steps": 2, "evaluate_prompts": 0}
    path = tmp_path_factory.mktemp("recipe") / "sft.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "training/runs/smoke-sft/model/adapter_model.safetensors")


def test_an_adapter_that_is_killed_ends_with_the_same_weights(
    context: ForkServerContext, recipe: Path, tmp_path: Path
) -> None:
    whole = folder_with_base(tmp_path / "whole")
    alone = start_recipe(context, whole, recipe)
    alone.join(120)
    assert alone.exitcode == 0, said(whole)

    folder = folder_with_base(tmp_path / "cut")
    run = folder / "training" / "runs" / "smoke-sft"
    log = run / "progress.jsonl"
    for after, number in ((random.randint(2, 4), signal.SIGKILL), (1, signal.SIGTERM)):
        process = start_recipe(context, folder, recipe)
        assert cut(process, log, after=after, number=number) == STATUS[number], said(folder)
    newest = max(int(path.name.split("-")[1]) for path in run.glob("checkpoint-*"))
    half = run / f"checkpoint-{newest + 1}"
    half.mkdir()  # as a kill in the middle of saving leaves it
    (half / "adapter_model.safetensors").write_bytes(b"cut off")
    last = start_recipe(context, folder, recipe)
    last.join(120)
    assert last.exitcode == 0, said(folder)

    one, other = weights(whole), weights(folder)
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    assert sorted(set(steps_in(log))) == list(range(1, ADAPTER_STEPS + 1))

    changed = recipe.with_name("changed.yaml")
    changed.write_text(recipe.read_text().replace("alpha: 8", "alpha: 16"))
    refused = start_recipe(context, folder, changed)
    refused.join(60)
    assert refused.exitcode == 2
    assert "was made by another recipe: alpha was 8 and is 16" in said(folder)


# --- the stages that make their data on the way -------------------------------------------------


@pytest.mark.parametrize(
    ("name", "more", "weights"),
    [
        # Cut where sight alone has been taught, and after it.
        ("clip", {"sight_steps": 3}, "open_clip_model.safetensors"),
        ("embed", {"bank_batches": 5, "text_steps": 1}, "adapter_model.safetensors"),
    ],
)
def test_a_stage_that_is_cut_ends_with_the_same_weights(
    context: ForkServerContext, tmp_path: Path, name: str, more: dict[str, int], weights: str
) -> None:
    content: dict[str, Any] = yaml.safe_load((SMOKE / f"{name}.yaml").read_text())
    content["optimiser"]["steps"] = 6
    recipe = tmp_path / f"{name}.yaml"
    recipe.write_text(yaml.safe_dump(content | more))
    ended: list[dict[str, torch.Tensor]] = []
    for folder, cuts in ((tmp_path / "whole", ()), (tmp_path / "cut", (1, 3))):
        folder.mkdir()
        tiny.leave_runs(folder)
        run = folder / "training" / "runs" / f"smoke-{name}"
        for after in cuts:
            process = start_recipe(context, folder, recipe)
            number = signal.SIGTERM
            code = cut(process, run / "progress.jsonl", after=after, number=number)
            assert code == STATUS[number], said(folder)
        last = start_recipe(context, folder, recipe)
        last.join(120)
        assert last.exitcode == 0, said(folder)
        ended.append(load_file(run / "model" / weights))
    one, other = ended
    assert [key for key in one if not torch.equal(one[key], other[key])] == []
