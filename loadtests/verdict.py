"""What a run has to hold, and whether it did."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Bounds of a run.

    Attributes:
        p95_ms: the 95th percentile of the response time.
        error_share: of all requests.
        offered_share: of the arrivals asked for. Below it the run proves nothing: the generator of
            load waited for answers, and waiting hides how slow they were.
        settle_s: from the last request until all that was acknowledged can be searched.
    """

    p95_ms: float = 2_000.0
    error_share: float = 0.01
    offered_share: float = 0.9
    settle_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured; times are of successful requests and failures alike.

    Attributes:
        settled_s: how long ingestions went on after the last request.
        failed_jobs, open_jobs: of them, those that ended badly, and those that did not end.
    """

    requests: int
    failures: int
    seconds: float
    asked_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    problems: Mapping[str, int]
    settled_s: float = 0.0
    failed_jobs: int = 0
    open_jobs: int = 0

    @property
    def error_share(self) -> float:
        return self.failures / self.requests if self.requests else 1.0

    @property
    def offered_share(self) -> float:
        expected = self.asked_per_s * self.seconds
        return self.requests / expected if expected else 0.0

    def faults(self, bounds: Thresholds) -> list[str]:
        """One line for each bound that does not hold; none is a pass."""
        found = []
        if self.requests == 0:
            return ["no request was answered"]
        if self.p95_ms > bounds.p95_ms:
            found.append(f"p95 is {self.p95_ms:.0f} ms, above {bounds.p95_ms:.0f} ms")
        if self.error_share > bounds.error_share:
            found.append(f"{self.error_share:.1%} failed, above {bounds.error_share:.1%}")
        if self.offered_share < bounds.offered_share:
            found.append(
                f"only {self.offered_share:.0%} of the load was offered, below "
                f"{bounds.offered_share:.0%}: more users, or a smaller rate"
            )
        if self.failed_jobs:
            found.append(f"{self.failed_jobs} ingestions were acknowledged and then failed")
        if self.open_jobs:
            found.append(
                f"{self.open_jobs} ingestions could not be searched {bounds.settle_s:.0f} s after "
                "the last request"
            )
        return found

    def report(self, bounds: Thresholds) -> dict[str, object]:
        """For `report.json`."""
        return (
            {
                "passed": not self.faults(bounds),
                "faults": self.faults(bounds),
                "thresholds": asdict(bounds),
                "error_share": round(self.error_share, 4),
                "offered_share": round(self.offered_share, 3),
                "per_s": round(self.requests / self.seconds, 2) if self.seconds else 0.0,
            }
            | {name: value for name, value in asdict(self).items() if name != "problems"}
            | {"problems": dict(self.problems)}
        )
