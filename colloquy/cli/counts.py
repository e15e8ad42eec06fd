"""How far an ingestion is: bars on a terminal, now and then a line in a log. All on stderr, so that
what is printed for machines stays alone on stdout."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_SAY_AGAIN_S = 5.0
_STEPS = 10


class Counts(Protocol):
    """Any thread may count."""

    def read(self, count: int) -> None: ...

    def sent(self, total: int) -> None: ...

    def all_read(self) -> None: ...

    def searchable(self, count: int) -> None: ...


@contextmanager
def counts() -> Iterator[Counts]:
    if not sys.stderr.isatty():
        yield Lines(sys.stderr)
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as progress:
        yield Bars(progress)


class Bars:
    """Rewritten in place."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._read = progress.add_task("read and sent", total=None)
        self._done = progress.add_task("searchable", total=None)

    def read(self, count: int) -> None:
        self._progress.advance(self._read, count)

    def sent(self, total: int) -> None:
        self._progress.update(self._done, total=total)

    def all_read(self) -> None:
        self._progress.update(self._read, total=self._progress.tasks[self._read].completed)

    def searchable(self, count: int) -> None:
        self._progress.advance(self._done, count)


class Lines:
    """A line every few seconds while something happens, and for each tenth of the whole."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._lock = Lock()
        self._read = self._sent = self._done = self._tenths = 0
        self._whole = False
        self._said_at = clock()

    def read(self, count: int) -> None:
        with self._lock:
            self._read += count
            self._say()

    def sent(self, total: int) -> None:
        with self._lock:
            self._sent = total
            self._say()

    def all_read(self) -> None:
        with self._lock:
            self._whole = True
            self._say()

    def searchable(self, count: int) -> None:
        with self._lock:
            self._done += count
            self._say()

    def _say(self) -> None:
        tenths = _STEPS * self._done // self._sent if self._whole and self._sent else 0
        now = self._clock()
        if tenths <= self._tenths and now - self._said_at < _SAY_AGAIN_S:
            return
        self._tenths, self._said_at = max(tenths, self._tenths), now
        share = f" ({100 * self._done // self._sent} %)" if self._whole and self._sent else ""
        line = f"{self._read} read, {self._sent} sent, {self._done} searchable{share}"
        print(line, file=self._out, flush=True)
