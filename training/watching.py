"""What whoever started a run sees of it: one line that is rewritten, or lines of JSON for a log."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol, TextIO, TypeVar

from training import processes

_SAY_AGAIN_S = 10.0
Made = TypeVar("Made")


class Watcher(Protocol):
    def begin(self) -> None: ...

    def step(self, record: Mapping[str, Any]) -> None: ...

    def validation(self, record: Mapping[str, Any]) -> None: ...

    def end(self) -> None: ...


def watcher(label: str, *, start: int, steps: int) -> Watcher:
    if not _is_terminal():
        return Lines(sys.stdout, steps)
    from rich.console import Console

    return Bar(label, Console(), start=start, steps=steps)


def prepared(
    parts: Iterable[Made], of: int, *, clock: Callable[[], float] = time.monotonic
) -> Iterator[Made]:
    """Passes on what a run makes before its first step, and shows how much of it there is.

    Args:
        of: how many parts there will be.
    """
    if processes.rank() > 0:
        yield from parts
    elif not _is_terminal():
        yield from _told(parts, of, sys.stdout, clock)
    else:
        from rich.progress import track

        yield from track(parts, "before the first step", total=of, transient=True)


def _told(
    parts: Iterable[Made], of: int, out: TextIO | None, clock: Callable[[], float]
) -> Iterator[Made]:
    said_at = clock()
    _say(out, {"prepared": 0, "of": of})
    for number, part in enumerate(parts, 1):
        yield part
        if clock() - said_at > _SAY_AGAIN_S:
            said_at = clock()
            _say(out, {"prepared": number, "of": of})


def _is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def _say(out: TextIO | None, record: Mapping[str, Any]) -> None:
    """Training goes on when nobody listens: `progress.jsonl` has it all.

    Args:
        out: None in a process that was started without a standard output.
    """
    if out is None:
        return
    with suppress(BrokenPipeError):
        print(json.dumps(record), file=out, flush=True)


class Lines:
    """A record every ten seconds, every validation, and the last step."""

    def __init__(
        self, out: TextIO | None, steps: int, clock: Callable[[], float] = time.monotonic
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
            _say(self._out, record)

    def validation(self, record: Mapping[str, Any]) -> None:
        _say(self._out, record)

    def end(self) -> None: ...


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
