"""What whoever started a run sees of it: one line that is rewritten, or lines of JSON for a log."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TextIO

_SAY_AGAIN_S = 10.0


class Watcher(Protocol):
    def begin(self) -> None: ...

    def step(self, record: Mapping[str, Any]) -> None: ...

    def validation(self, record: Mapping[str, Any]) -> None: ...

    def end(self) -> None: ...


def watcher(label: str, *, start: int, steps: int) -> Watcher:
    if not sys.stdout.isatty():
        return Lines(sys.stdout, steps)
    from rich.console import Console

    return Bar(label, Console(), start=start, steps=steps)


class Lines:
    """A record every ten seconds, every validation, and the last step."""

    def __init__(
        self, out: TextIO, steps: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._out = out
        self._steps = steps
        self._clock = clock
        self._said_at = clock()

    def begin(self) -> None: ...

    def step(self, record: Mapping[str, Any]) -> None:
        now = self._clock()
        if now - self._said_at > _SAY_AGAIN_S or record["step"] == self._steps:
            self._said_at = now
            self._say(record)

    def validation(self, record: Mapping[str, Any]) -> None:
        self._say(record)

    def end(self) -> None: ...

    def _say(self, record: Mapping[str, Any]) -> None:
        print(json.dumps(record), file=self._out, flush=True)


class Bar:
    """Step, loss, the last validation, samples a second and the time that is left, in one line.

    Args:
        console: rich's, a terminal.
    """

    def __init__(self, label: str, console: Any, *, start: int, steps: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}", markup=False),
            console=console,
        )
        self._task = self._bar.add_task(label, total=steps, completed=start, numbers="")
        self._validation = ""

    def begin(self) -> None:
        self._bar.start()

    def step(self, record: Mapping[str, Any]) -> None:
        numbers = (
            f"loss {_number(record['loss'])}",
            self._validation,
            f"{record['samples_per_s']:g} samples/s",
            f"{_clock_time(record['eta_s'])} left",
        )
        shown = "  ".join(filter(None, numbers))
        self._bar.update(self._task, completed=record["step"], numbers=shown)

    def validation(self, record: Mapping[str, Any]) -> None:
        """The first number stands for all; the others are in the log and the curves."""
        for name, value in record["validation"].items():
            self._validation = f"validation {name} {_number(value)}"
            break

    def end(self) -> None:
        self._bar.stop()


def _number(value: float | None) -> str:
    return "not a number" if value is None else f"{value:.4f}"


def _clock_time(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"
