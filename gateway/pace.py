"""How long the steps of a search took lately, so that one that would come too late is not begun."""

import time
from collections.abc import Callable
from dataclasses import dataclass

_WEIGHT = 0.2
_DEVIATIONS = 2.0
_HALF_LIFE_S = 30.0


@dataclass(slots=True)
class _Measured:
    mean_s: float
    deviation_s: float
    at_s: float


class Pace:
    """A moving mean and its deviation for each step, as TCP estimates a round trip.

    What was not measured for a while counts less and less: else a step that was slow once would be
    left out for ever, and never measured again.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._steps: dict[str, _Measured] = {}

    def note(self, step: str, seconds: float) -> None:
        now_s = self._clock()
        known = self._steps.get(step)
        if known is None:
            self._steps[step] = _Measured(seconds, seconds / 2, now_s)
            return
        known.deviation_s += _WEIGHT * (abs(seconds - known.mean_s) - known.deviation_s)
        known.mean_s += _WEIGHT * (seconds - known.mean_s)
        known.at_s = now_s

    def expect_s(self, step: str) -> float:
        """Seconds that the step will hardly exceed; 0 where nothing is known."""
        known = self._steps.get(step)
        if known is None:
            return 0.0
        faded: float = 0.5 ** ((self._clock() - known.at_s) / _HALF_LIFE_S)
        return (known.mean_s + _DEVIATIONS * known.deviation_s) * faded
