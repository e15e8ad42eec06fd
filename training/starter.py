"""Trains and exports every starter checkpoint, in order: `python -m training.starter`.

Each stage goes on from its last checkpoint; a finished stage is not run again. What
`training/stages` holds of a stage is taken instead of running it, where its recipe and the
recipes before it are still the same; `--anew` runs them all. `--smoke` runs the whole chain in two
minutes, with models that have learnt nothing.

python -m training.starter --keep base     # puts what a stage has left into training/stages
"""

import argparse
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from training import recipe_files, run, whole
from training.checkpoint import CHECKPOINT
from training.curves import CURVES
from training.ending import Refused
from training.export import BASE_FILES, EVERY, RETRIEVAL, Plan, export, export_retrieval
from training.recipe import RUNS, VERSION, file_hash
from training.recipe_files import RECIPES

STAGES = ("tokenizer", "vision", "reading", "matching", *EVERY)
DONE = "done.json"
KEPT = Path("training/stages")
STARTER = Path("starter")
MADE_BY = "recipes.json"
MODEL = "model.json"
WEIGHTS = "model.safetensors"


def train_all(
    recipes: Path, kept: Path | None = None, run_stage: Callable[[Path], Path] = run.run
) -> None:
    """Runs the stages that have not finished with these very recipes, each after those it needs.

    Args:
        kept: folder with results of stages that are taken where their recipes are the same; what
            only they begin with is not run.

    Raises:
        Refused: a kept stage names a published model that is not there as it was.
    """
    there = recipes_in(recipes)
    needed = {name for path in there.values() for name in _earlier(path)}
    seen: set[str] = set()

    def ensure(name: str) -> None:
        if name in seen or name not in there:  # the smoke chain leaves stages out
            return
        seen.add(name)
        mark, made_by = RUNS / name / DONE, recipes_before(there, name)
        if _read(mark) == made_by:
            print(f"{name}: finished before")
            return
        mark.unlink(missing_ok=True)
        if kept and _read(kept / name / MADE_BY) == made_by:
            _take(kept / name, RUNS / name)
            print(f"{name}: taken from {kept / name}", flush=True)
        else:
            for before in _earlier(there[name]):
                ensure(before)
            print(f"{name}: {run_stage(there[name])}", flush=True)
        mark.write_text(json.dumps(made_by))

    for name, path in there.items():
        if path.stem in EVERY or name not in needed:
            ensure(name)


def recipes_in(folder: Path) -> dict[str, Path]:
    """The recipes of the chain by the names of their runs, in order."""
    paths = [folder / f"{stage}.yaml" for stage in STAGES]
    return {recipe_files.load(path).name: path for path in paths if path.exists()}


def recipes_before(there: Mapping[str, Path], name: str) -> dict[str, str]:
    """The hashes of a run's recipe and of those that lead to it, by the runs' names."""
    found = {name: file_hash(there[name])}
    for earlier in _earlier(there[name]):
        if earlier in there:
            found |= recipes_before(there, earlier)
    return found


def keep(stage: str, published: Path | None = None) -> Path:
    """Copies what a finished stage has left, without its checkpoint and its log.

    Args:
        published: folder of the published model, which is named instead of copied where its
            weights are those of the stage.

    Raises:
        Refused: there is no such stage, or the chain has not finished it with these recipes.
    """
    source, into, there = RUNS / stage, KEPT / stage, recipes_in(RECIPES)
    if stage not in there:
        raise Refused(f"{stage}: is no stage; {', '.join(there)} are")
    made_by = recipes_before(there, stage)
    if (done := _read(source / DONE)) != made_by:
        why = "has not finished" if done is None else "finished with other recipes"
        raise Refused(f"{stage}: {why} in {source}")
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    if published and (published / WEIGHTS).exists() and _same_weights(source / "model", published):
        named = {"folder": str(published), "sha256": file_hash(published / WEIGHTS)}
        (into / MODEL).write_text(json.dumps(named, indent=1) + "\n")
    else:
        shutil.copytree(source / "model", into / "model")
    for path in (*source.glob("*.pt"), *source.rglob(CURVES)):
        if path.name != CHECKPOINT:
            (into / path.relative_to(source)).parent.mkdir(exist_ok=True)
            shutil.copy2(path, into / path.relative_to(source))
    (into / MADE_BY).write_text(json.dumps(made_by, indent=1) + "\n")
    return into


def _take(kept: Path, into: Path) -> None:
    """Puts a kept stage where its run would have left it, its model last.

    Raises:
        Refused: the published model that it names is missing or another; nothing is changed.
    """
    source, names = kept / "model", None
    if named := _read(kept / MODEL):
        source, names = Path(named["folder"]), (*BASE_FILES, WEIGHTS)
        again = "bring it back, or run `python -m training.starter --anew`"
        if not (source / WEIGHTS).exists():
            raise Refused(f"{kept / MODEL}: folder: there is no {source / WEIGHTS}; {again}")
        if file_hash(source / WEIGHTS) != named["sha256"]:
            raise Refused(f"{kept / MODEL}: sha256: {source / WEIGHTS} has another; {again}")
    shutil.copytree(kept, into, ignore=shutil.ignore_patterns("model"), dirs_exist_ok=True)

    def fill(folder: Path) -> None:
        for path in sorted(source.iterdir()):
            if names is None or path.name in names:
                shutil.copy2(path, folder)

    whole.write_folder(into / "model", fill)


def _same_weights(run_model: Path, published: Path) -> bool:
    """Whether what was published, in bf16, is what the run has left."""
    ours, theirs = (load_file(folder / WEIGHTS) for folder in (run_model, published))
    return ours.keys() == theirs.keys() and all(
        torch.equal(tensor.to(torch.bfloat16), theirs[name]) for name, tensor in ours.items()
    )


def _earlier(path: Path) -> list[str]:
    """Names of the runs that a recipe begins with."""
    recipe = recipe_files.load(path)
    return [getattr(recipe, field) for field in recipe.EARLIER]


def _read(path: Path) -> dict[str, str] | None:
    return dict(json.loads(path.read_text())) if path.exists() else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="tiny runs, to see the chain work")
    parser.add_argument("--anew", action="store_true", help="take nothing from training/stages")
    parser.add_argument("--keep", metavar="STAGE", help="put a finished stage into training/stages")
    parser.add_argument("--version", default=VERSION)
    parser.add_argument("--out", type=Path, default=None, help="default: starter, or the runs")
    chosen = parser.parse_args()
    return run.exit_status_of(lambda: _make(chosen), "starter")


def _make(chosen: argparse.Namespace) -> None:
    if chosen.keep:
        print(keep(chosen.keep, STARTER / chosen.keep / chosen.version))
        return
    prefix = "smoke-" if chosen.smoke else ""
    recipes = RECIPES / "smoke" if chosen.smoke else RECIPES
    train_all(recipes, None if chosen.smoke or chosen.anew else KEPT)
    out = chosen.out or (RUNS / "smoke-starter" if chosen.smoke else STARTER)
    runs = {task: f"{prefix}{task}" for task in EVERY}
    plan = Plan(chosen.version, out, runs, 4 if chosen.smoke else 1080)
    if chosen.smoke:
        plan = replace(plan, with_samples=False, split="validation")
    export(plan)
    export_retrieval(plan, RETRIEVAL)


if __name__ == "__main__":
    raise SystemExit(main())
