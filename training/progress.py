"""Where a run's numbers go: `progress.jsonl`, TensorBoard's files, `curves.png`, a terminal."""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from training.recipe import RUNS
from training.watching import Watcher, watcher

PROGRESS = "progress.jsonl"
_FLUSH_S = 10


class Progress:
    """Takes down what each step and each validation gives.

    Args:
        start: the last step that a checkpoint had; what was written of later ones is superseded.
    """

    def __init__(
        self, folder: Path, *, start: int, steps: int, shown: Watcher | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._start = start
        self._steps = steps
        self._began = time.monotonic()
        self._samples = 0
        self._file = _opened(folder / PROGRESS)
        self._events = _event_files(folder, start)
        label = folder.relative_to(RUNS) if folder.is_relative_to(RUNS) else Path(folder.name)
        self._shown = shown or watcher(str(label), start=start, steps=steps)

    def __enter__(self) -> Self:
        self._shown.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._shown.end()
        self._file.close()
        self._events.close()

    def step(
        self, step: int, loss: float, samples: int, numbers: Mapping[str, float], rate: float
    ) -> None:
        """Takes down one step.

        Args:
            step: how many steps there are with it. rate: the learning rate it was made with.
        """
        self._samples += samples
        seconds = max(time.monotonic() - self._began, 1e-9)
        left_s = seconds / (step - self._start) * (self._steps - step)
        record = {
            "step": step,
            "loss": _rounded(loss),
            **{name: _rounded(value) for name, value in numbers.items()},
            "learning_rate": float(f"{rate:.4g}"),
            "samples_per_s": round(self._samples / seconds, 1),
            "eta_s": round(left_s),
        }
        self._write(record)
        for name, value in record.items():
            if name != "step":
                self._scalar(f"train/{name}", value, step)
        self._shown.step(record)

    def validation(self, step: int, numbers: Mapping[str, float]) -> None:
        """Takes down what a validation after `step` steps found."""
        record = {"step": step, "validation": {n: _rounded(value) for n, value in numbers.items()}}
        self._write(record)
        for name, value in numbers.items():
            self._scalar(f"validation/{name}", value, step)
        self._shown.validation(record)

    def keep(self) -> None:
        """Puts everything on disk: a checkpoint that follows never has steps that are not there."""
        self._file.flush()
        self._events.flush()

    def draw(self) -> None:
        """Draws `curves.png` anew."""
        from training import curves  # matplotlib takes a second to load

        self.keep()
        curves.draw(self._folder)

    def _write(self, record: Mapping[str, object]) -> None:
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def _scalar(self, name: str, value: object, step: int) -> None:
        if isinstance(value, int | float) and not isinstance(value, bool):
            self._events.add_scalar(name, value, step)


def _rounded(value: float) -> float | None:
    """Four digits after the point; JSON has no word for what is not a number."""
    return round(value, 4) if math.isfinite(value) else None


def _opened(path: Path) -> Any:
    """The file to append to; what a kill cut off in the middle stays a line of its own."""
    if path.exists() and not path.read_bytes().endswith(b"\n"):
        with path.open("a", encoding="utf-8") as file:
            file.write("\n")
    return path.open("a", encoding="utf-8")


def _event_files(folder: Path, start: int) -> Any:
    """TensorBoard hides what earlier files say of the steps that are made again."""
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=start + 1, flush_secs=_FLUSH_S)
