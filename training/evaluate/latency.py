"""Percentiles of times."""

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile and count of times given in seconds."""
    return {
        "p50": round(1_000 * percentile(seconds, 0.5), 1),
        "p95": round(1_000 * percentile(seconds, 0.95), 1),
        "requests": len(seconds),
    }
