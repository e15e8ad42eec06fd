"""Trains and exports every starter checkpoint, in order: `python -m training.starter`.

Each stage goes on from its last checkpoint; a finished stage is not run again. What
`training/stages` holds of a stage is taken instead of running it, where its recipe and the
recipes before it are still the same; `--anew` runs them all. `--smoke` runs the whole chain in two
minutes, with models that have learnt nothing.

python -m training.starter --keep base     # puts what a stage has left into training/stages
"""

import argparse
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from training import run, whole
from training.checkpoint import CHECKPOINT
from training.curves import CURVES
from training.ending import Refused
from training.export import RETRIEVAL, Plan, check_version, export, export_retrieval
from training.kept import (
    BASE_FILES,
    DONE,
    FILES,
    KEPT,
    MADE_BY,
    MODEL,
    WEIGHTS,
    earlier,
    files_of,
    read,
    recipes_before,
    recipes_in,
    take,
    write,
)
from training.recipe import PUBLISHED, RUNS, VERSION, file_hash
from training.recipe_files import RECIPES

STARTER = Path("starter")


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
    needed = {name for path in there.values() for name in earlier(path)}
    seen: set[str] = set()

    def ensure(name: str) -> None:
        if name in seen or name not in there:  # the smoke chain leaves stages out
            return
        seen.add(name)
        mark, made_by = RUNS / name / DONE, recipes_before(there, name)
        if read(mark) == made_by:
            print(f"{name}: finished before")
            return
        mark.unlink(missing_ok=True)
        if kept and take(there, name, kept):
            print(f"{name}: taken from {kept / name}", flush=True)
            return
        for before in earlier(there[name]):
            ensure(before)
        print(f"{name}: {run_stage(there[name])}", flush=True)
        write(mark, made_by)

    for name, path in there.items():
        if path.stem in PUBLISHED or name not in needed:
            ensure(name)


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
    if (done := read(source / DONE)) != made_by:
        why = "has not finished" if done is None else "finished with other recipes"
        raise Refused(f"{stage}: {why} in {source}")
    if not (source / "model").is_dir():
        raise Refused(f"{stage}: there is no {source / 'model'}")
    is_named = published is not None and _same_weights(source / "model", published)

    def fill(folder: Path) -> None:
        if published and is_named:
            names = [published / name for name in (*BASE_FILES, WEIGHTS)]
            write(folder / MODEL, {str(path): file_hash(path) for path in names})
        else:
            shutil.copytree(source / "model", folder / "model")
        for path in (*source.glob("*.pt"), *source.rglob(CURVES)):
            if path.name != CHECKPOINT:
                (folder / path.relative_to(source)).parent.mkdir(exist_ok=True)
                shutil.copy2(path, folder / path.relative_to(source))
        write(folder / FILES, files_of(folder))
        write(folder / MADE_BY, made_by)

    return whole.write_folder(into, fill)


def _same_weights(run_model: Path, published: Path) -> bool:
    """Whether what was published, in bf16, is what the run has left."""
    if not (published / WEIGHTS).exists():
        return False
    try:
        ours, theirs = (load_file(folder / WEIGHTS) for folder in (run_model, published))
    except SafetensorError as error:
        raise Refused(f"{run_model / WEIGHTS} or {published / WEIGHTS}: {error}") from None
    return ours.keys() == theirs.keys() and all(
        torch.equal(tensor.to(torch.bfloat16), theirs[name]) for name, tensor in ours.items()
    )


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
    if chosen.keep is not None:
        print(keep(chosen.keep, STARTER / chosen.keep / chosen.version))
        return
    check_version(chosen.version)
    prefix = "smoke-" if chosen.smoke else ""
    recipes = RECIPES / "smoke" if chosen.smoke else RECIPES
    train_all(recipes, None if chosen.smoke or chosen.anew else KEPT)
    out = chosen.out or (RUNS / "smoke-starter" if chosen.smoke else STARTER)
    runs = {task: f"{prefix}{task}" for task in PUBLISHED}
    plan = Plan(chosen.version, out, runs, 4 if chosen.smoke else 1080)
    if chosen.smoke:
        plan = replace(plan, with_samples=False, split="validation")
    export(plan)
    export_retrieval(plan, RETRIEVAL)


if __name__ == "__main__":
    raise SystemExit(main())
