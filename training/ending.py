"""How a run ends before its last step: it may not start, or it was asked to stop."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
NOTHING_NEW = "stopped at once; the same command goes on from the last checkpoint"


class Refused(Exception):
    """A run that must not start; the message names the file, the field and what to do."""


class Stopped(Exception):
    """A signal ended the run; the message says what is kept.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int, said: str) -> None:
        super().__init__(said)
        self.number = number

    @property
    def exit_status(self) -> int:
        """As a shell reports a process that a signal ended."""
        return 128 + self.number


class StopRequest:
    """Notes SIGINT and SIGTERM, so that the step in hand is finished and saved.

    A second signal ends the run at once. A signal that this process ignores stays ignored.

    Attributes:
        number: the signal that came, or None.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        return self.number is not None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.number is not None:
            raise Stopped(number, NOTHING_NEW)
        self.number = number
