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
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from training import recipe_files, run
from training.checkpoint import CHECKPOINT
from training.ending import Refused
from training.export import RECIPES, RETRIEVAL, Plan, export, export_retrieval
from training.recipe import RUNS, VERSION, file_hash

STAGES = (
    "tokenizer", "vision", "reading", "matching", "base", "fragment", "split", *RETRIEVAL,
)  # fmt: skip
DONE = "done.json"
KEPT = Path("training/stages")
MADE_BY = "recipes.json"


def train_all(
    recipes: Path, kept: Path | None = None, run_stage: Callable[[Path], Path] = run.run
) -> None:
    """Runs the stages that have not finished with these very recipes.

    Args:
        kept: folder with results of stages that are taken where their recipes are the same.
    """
    for stage in STAGES:
        path = recipes / f"{stage}.yaml"
        if not path.exists():  # the smoke chain leaves stages out
            continue
        name = recipe_files.load(path).name
        mark = RUNS / name / DONE
        finished = {"recipe": file_hash(path)}
        if mark.exists() and json.loads(mark.read_text()) == finished:
            print(f"{name}: finished before")
            continue
        if kept and _recipes_of(kept / name) == recipes_before(recipes, stage):
            shutil.copytree(kept / name, RUNS / name, dirs_exist_ok=True)
            print(f"{name}: taken from {kept / name}", flush=True)
        else:
            print(f"{name}: {run_stage(path)}", flush=True)
        mark.write_text(json.dumps(finished))


def recipes_before(recipes: Path, stage: str) -> dict[str, str]:
    """The hashes of a stage's recipe and of those that lead to it."""
    path = recipes / f"{stage}.yaml"
    found = {stage: file_hash(path)}
    recipe = recipe_files.load(path)
    for field in recipe.EARLIER:
        found |= recipes_before(recipes, getattr(recipe, field))
    return found


def keep(stage: str) -> Path:
    """Copies what a finished stage has left, without its checkpoint and its log."""
    source, into = RUNS / stage, KEPT / stage
    if not (source / DONE).exists():
        raise Refused(f"{stage}: has not finished in {source}")
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(source / "model", into / "model")
    for path in (*source.glob("*.pt"), *source.glob("curves.png")):
        if path.name != CHECKPOINT:
            shutil.copy2(path, into)
    (into / MADE_BY).write_text(json.dumps(recipes_before(RECIPES, stage), indent=1) + "\n")
    return into


def _recipes_of(folder: Path) -> dict[str, str] | None:
    path = folder / MADE_BY
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
        print(keep(chosen.keep))
        return
    prefix = "smoke-" if chosen.smoke else ""
    recipes = RECIPES / "smoke" if chosen.smoke else RECIPES
    train_all(recipes, None if chosen.smoke or chosen.anew else KEPT)
    out = chosen.out or (RUNS / "smoke-starter" if chosen.smoke else Path("starter"))
    runs = {task: f"{prefix}{task}" for task in ("base", "fragment", "split", *RETRIEVAL)}
    plan = Plan(chosen.version, out, runs, 4 if chosen.smoke else 1080)
    if chosen.smoke:
        plan = replace(plan, with_samples=False, split="validation")
    export(plan)
    export_retrieval(plan, RETRIEVAL)


if __name__ == "__main__":
    raise SystemExit(main())
