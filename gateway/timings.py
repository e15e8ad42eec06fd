"""How long each step of a request took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.metrics import Metrics


class Timings:
    """A stopwatch for one request; it starts when it is made."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._started_s = time.perf_counter()
        self._steps: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started_s = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - started_s
            self._steps[name] = seconds
            self._metrics.step_seconds.labels(name).observe(seconds)

    def in_ms(self) -> dict[str, float]:
        """Every step and the `total` until now, in milliseconds."""
        steps = self._steps | {"total": time.perf_counter() - self._started_s}
        return {name: round(seconds * 1_000, 2) for name, seconds in steps.items()}
