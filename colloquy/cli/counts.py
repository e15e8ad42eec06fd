"""How far an ingestion is: bars on a terminal, now and then a line in a log. All on stderr, so that
what is printed for machines stays alone on stdout."""

import sys
import time
from collections.abc import Callable
from threading import Lock
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_SAY_AGAIN_S = 5.0
_STEPS = 10


class Counts(Protocol):
    """Any thread may count."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def read(self, count: int) -> None: ...

    def sent(self, total: int) -> None: ...

    def all_read(self) -> None: ...

    def searchable(self, count: int) -> None: ...


def counts() -> Counts:
    return Bars() if sys.stderr.isatty() else Lines(sys.stderr)


class Bars:
    """Rewritten in place."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._read = self._progress.add_task("read and sent", total=None)
        self._done = self._progress.add_task("searchable", total=None)

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.__exit__(kind, error, trace)

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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return

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
