"""Trains and exports every starter checkpoint, in order: `python -m training.starter`.

Each stage goes on from its last checkpoint; a finished stage is not run again. `--smoke` runs the
whole chain in little more than a minute, with models that have learnt nothing.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from training import recipe_files, run
from training.export import RECIPES, RETRIEVAL, Plan, export, export_retrieval
from training.recipe import RUNS, file_hash

STAGES = (
    "tokenizer", "vision", "reading", "matching", "base", "fragment", "split", *RETRIEVAL,
)  # fmt: skip
DONE = "done.json"


def train_all(recipes: Path) -> None:
    """Runs the stages that have not finished with these very recipes."""
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
        print(f"{name}: {run.run(path)}", flush=True)
        mark.write_text(json.dumps(finished))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="tiny runs, to see the chain work")
    parser.add_argument("--version", default="1")
    parser.add_argument("--out", type=Path, default=None, help="default: starter, or the runs")
    chosen = parser.parse_args()
    return run.exit_status_of(lambda: _make(chosen), "starter")


def _make(chosen: argparse.Namespace) -> None:
    prefix = "smoke-" if chosen.smoke else ""
    train_all(RECIPES / "smoke" if chosen.smoke else RECIPES)
    out = chosen.out or (RUNS / "smoke-starter" if chosen.smoke else Path("starter"))
    runs = {task: f"{prefix}{task}" for task in ("base", "fragment", "split", *RETRIEVAL)}
    plan = Plan(chosen.version, out, runs, 4 if chosen.smoke else 660)
    if chosen.smoke:
        plan = replace(plan, with_samples=False, split="validation")
    export(plan)
    export_retrieval(plan, RETRIEVAL)


if __name__ == "__main__":
    raise SystemExit(main())
