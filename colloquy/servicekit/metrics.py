"""What every service measures. Each app has a registry of its own."""

import re

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = tuple(0.001 * 2**n for n in range(17))
"""1 ms to 65 s, doubling."""
COUNTS = tuple(2**n for n in range(11))
"""1 to 1,024, doubling."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def metric_prefix(service: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", service.lower()).strip("_")


class ServiceMetrics:
    """Requests by route template: times, how many are in flight, problems by slug."""

    def __init__(self, registry: CollectorRegistry, service: str) -> None:
        prefix = metric_prefix(service)
        self._seconds = Histogram(
            f"{prefix}_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ["route", "method", "status"],
            buckets=SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge(
            f"{prefix}_requests_in_flight", "Requests being served.", registry=registry
        )
        self._problems = Counter(
            f"{prefix}_problems_total", "Problems answered.", ["slug"], registry=registry
        )

    def observe(
        self, route: str, method: str, status: int, seconds: float, slug: str | None
    ) -> None:
        label = method if method in _METHODS else "OTHER"
        self._seconds.labels(route, label, str(status)).observe(seconds)
        if slug is not None:
            self._problems.labels(slug).inc()


class CallMetrics:
    """Calls to other services: one of these for each app, shared by its clients."""

    def __init__(self, registry: CollectorRegistry, service: str) -> None:
        self._seconds = Histogram(
            f"{metric_prefix(service)}_call_seconds",
            "Calls to the services behind this one; outcome is `ok` or a problem's slug.",
            ["dependency", "operation", "outcome"],
            buckets=SECONDS,
            registry=registry,
        )

    def observe(self, dependency: str, operation: str, outcome: str, seconds: float) -> None:
        self._seconds.labels(dependency, operation, outcome).observe(seconds)
