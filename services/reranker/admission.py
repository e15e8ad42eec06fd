"""Whole requests are admitted or refused: what has begun is not refused half way."""

from collections.abc import Iterator
from contextlib import contextmanager

from colloquy.servicekit.problems import Overloaded


class Admission:
    """Counts the calls that requests may have in the engine's queue together.

    Args:
        most: that the queue holds, those that run included.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0

    @contextmanager
    def take(self, calls: int) -> Iterator[None]:
        """Holds room for `calls` at once.

        Raises:
            Overloaded: there is none. A request that needs more than there ever is gets all.
        """
        calls = min(calls, self._most)
        if self._taken + calls > self._most:
            raise Overloaded("too many requests wait for the engine")
        self._taken += calls
        try:
            yield
        finally:
            self._taken -= calls
