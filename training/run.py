"""Runs a training recipe; goes on where it was cut.

python -m training.run vision
python -m training.run training/recipes/smoke/vision.yaml
"""

import argparse
import fcntl
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from training import kept, recipe_files
from training import recipe as recipes
from training.ending import NOTHING_NEW, Refused, Stopped
from training.recipe import LOCK, RUNS, TokenizerRecipe, VisionRecipe

FAILED = 1
WRONG_CALL = 2
CHECKPOINTS = "checkpoint*"  # ours, and those of the library that trains adapters


def run(path: Path) -> Path:
    """Runs a recipe to its end, from its last checkpoint if there is one; returns the result.

    Raises:
        Refused: the recipe is wrong, or cannot be run yet, or not on what its folder holds.
        Stopped: a signal ended the run.
    """
    recipe = recipe_files.load(path)
    for name in kept.take_earlier(recipe):
        print(f"{name}: taken from {kept.KEPT / name}", file=sys.stderr, flush=True)
    recipe_files.require_earlier(recipe, path)
    with _alone(RUNS / recipe.name):
        # What another recipe of this name leaves is not what the chain's mark says.
        (RUNS / recipe.name / kept.DONE).unlink(missing_ok=True)
        if any((RUNS / recipe.name).rglob(CHECKPOINTS)):
            said = f"{recipe.name}: goes on from its last checkpoint"
            print(said, file=sys.stderr, flush=True)
        return _trained(recipe)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps a second run out of the folder; whatever ends this process ends that too."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"{folder}: another process is training in it") from None
        yield


def _trained(recipe: recipes.AnyRecipe) -> Path:
    if isinstance(recipe, TokenizerRecipe):
        return _tokenizer(recipe)
    from transformers.utils import logging

    logging.disable_progress_bar()  # `training.watching` shows how far the run is
    if isinstance(recipe, VisionRecipe):
        from training import vision

        return vision.train(recipe)
    if isinstance(recipe, recipes.ReadingRecipe):
        from training import reading

        return reading.train(recipe)
    if isinstance(recipe, recipes.MatchingRecipe):
        from training import matching

        return matching.train(recipe)
    if isinstance(recipe, recipes.BaseRecipe):
        from training import base

        return base.train(recipe)
    if isinstance(recipe, recipes.PointingRecipe):
        from training import pointers

        return pointers.train(recipe)
    if isinstance(recipe, recipes.ClipRecipe):
        from training import clip

        return clip.train(recipe)
    if isinstance(recipe, recipes.EmbedRecipe):
        from training import embed

        return embed.train(recipe)
    if isinstance(recipe, recipes.RankRecipe):
        from training import rank

        return rank.train(recipe)
    from training import adapters

    return adapters.train(recipe)


def _tokenizer(recipe: TokenizerRecipe) -> Path:
    from training import tokenizer, whole

    built = tokenizer.build(recipe.vocabulary, recipe.dialogues)
    return whole.write_folder(
        RUNS / recipe.name / "model",
        lambda folder: tokenizer.save_processor(built, folder, recipe.max_tokens),
    )


def exit_status_of(work: Callable[[], object], called: str) -> int:
    """Does `work`; how it ends before its end is one line and a status, never a traceback."""
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        work()
    except Refused as refusal:
        print(f"{called}: {refusal}", file=sys.stderr)
        return WRONG_CALL
    except Stopped as stopped:
        print(f"{called}: {stopped}", file=sys.stderr)
        return stopped.exit_status
    except OSError as error:  # no room, no permission, a file of an earlier run that is broken
        print(f"{called}: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"{called}: {NOTHING_NEW}", file=sys.stderr)
        return 128 + signal.SIGINT
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


def _stop(number: int, _frame: FrameType | None) -> None:
    """Outside the steps there is nothing to save."""
    raise Stopped(number, NOTHING_NEW)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="colloquy train",
        description="Runs a training recipe; goes on where it was cut.",
        epilog="The run's folder is training/runs/NAME, NAME as the recipe says.",
    )
    parser.add_argument("recipe", help="a file, or the name of one in training/recipes")
    name = parser.parse_args(argv).recipe
    return exit_status_of(lambda: print(run(recipe_files.find(name))), parser.prog)


if __name__ == "__main__":
    raise SystemExit(main())
