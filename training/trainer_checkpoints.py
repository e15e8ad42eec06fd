"""TRL's trainer as the other stages are: its checkpoints whole and by recipe, its numbers told."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training import whole
from training.ending import Refused, StopRequest
from training.origin import Origin
from training.progress import Progress
from training.recipe import AdapterRecipe

MARK = "origin.json"
_PREFIX = "checkpoint-"
_SHOWN = ("grad_norm", "entropy", "mean_token_accuracy")


def last(folder: Path, origin: Origin) -> Path | None:
    """The newest checkpoint that was written to its end, or None; half ones are taken away.

    The trainer keeps the two that were written last: a half one would push a whole one out.

    Raises:
        Refused: it is damaged, or another recipe's.
    """
    marked = []
    for path in folder.glob(f"{_PREFIX}*"):
        if (path / MARK).is_file():
            marked.append(path)
        else:
            shutil.rmtree(path)
    if not marked:
        return None
    newest = max(marked, key=step_of)
    text = (newest / MARK).read_text(encoding="utf-8")
    if json.loads(text)["files"] != whole.hash_of(newest, but=MARK):
        raise Refused(f"{newest}: is damaged; remove it to go on from the one before")
    if remark := origin.check(text, newest):
        print(remark, file=sys.stderr)
    return newest


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix(_PREFIX))


class Watch(TrainerCallback):
    """Tells what the trainer does, marks what it has saved, and ends it when it is asked to.

    Args:
        validate: scores the model; called every `evaluate_steps` of the recipe and at the end.
    """

    def __init__(
        self,
        progress: Progress,
        stop: StopRequest,
        origin: Origin,
        recipe: AdapterRecipe,
        validate: Callable[[Any], dict[str, float]],
    ) -> None:
        self._progress = progress
        self._stop = stop
        self._origin = origin
        self._recipe = recipe
        self._validate = validate

    def on_step_end(
        self, _args: TrainingArguments, _state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self._stop.asked:
            control.should_save = control.should_training_stop = True

    def on_log(
        self,
        _args: TrainingArguments,
        state: TrainerState,
        _control: TrainerControl,
        logs: dict[str, float] | None = None,
        model: Any = None,
        **_: Any,
    ) -> None:
        """Comes after every step, before it is saved."""
        if not logs or "loss" not in logs:
            return
        step = state.global_step
        numbers = {name: float(logs[name]) for name in _SHOWN if name in logs}
        self._progress.step(
            step, float(logs["loss"]), self._recipe.batch_samples, numbers, logs["learning_rate"]
        )
        due = step % self._recipe.evaluate_steps == 0 or step == state.max_steps
        if due and self._recipe.evaluate_prompts:
            self._progress.validation(step, self._validate(model))
            self._progress.draw()

    def on_save(
        self, args: TrainingArguments, state: TrainerState, _control: TrainerControl, **_: Any
    ) -> None:
        """Comes when all files of a checkpoint are written."""
        self._progress.keep()
        folder = Path(str(args.output_dir), f"{_PREFIX}{state.global_step}")
        mark = json.loads(self._origin.as_json()) | {"files": whole.hash_of(folder)}
        whole.write_file(
            folder / MARK, lambda file: file.write(json.dumps(mark, indent=1).encode())
        )
