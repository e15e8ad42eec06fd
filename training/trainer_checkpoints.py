"""TRL's trainer as the other stages are: its checkpoints whole and by recipe, its numbers told."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training import whole
from training.ending import StopRequest
from training.origin import Origin
from training.progress import Progress
from training.recipe import AdapterRecipe

MARK = "origin.json"
_PREFIX = "checkpoint-"
_SHOWN = ("grad_norm", "entropy", "mean_token_accuracy")


def last(folder: Path, origin: Origin) -> Path | None:
    """The newest checkpoint that was written to its end, or None.

    Raises:
        Refused: it is another recipe's.
    """
    marked = [path for path in folder.glob(f"{_PREFIX}*") if (path / MARK).is_file()]
    if not marked:
        return None
    newest = max(marked, key=step_of)
    if remark := origin.check((newest / MARK).read_text(encoding="utf-8"), newest):
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
        text = json.dumps(json.loads(self._origin.as_json()), indent=1).encode()
        folder = Path(str(args.output_dir), f"{_PREFIX}{state.global_step}")
        whole.write_file(folder / MARK, lambda file: file.write(text))
