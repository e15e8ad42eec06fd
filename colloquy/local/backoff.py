"""How long to wait before the next try."""


class Backoff:
    """Doubles with every failure that follows soon on a start; a long good run forgets them all."""

    def __init__(
        self, *, first_s: float = 0.1, longest_s: float = 15.0, forget_after_s: float = 60.0
    ) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._forget_after_s = forget_after_s
        self.failures = 0

    def failed(self, *, after_ready_s: float) -> float:
        """Seconds to wait, given how long the process had been ready when it ended."""
        if after_ready_s >= self._forget_after_s:
            self.failures = 0
        self.failures += 1
        return min(self._first_s * 2.0 ** min(self.failures - 1, 20), self._longest_s)
