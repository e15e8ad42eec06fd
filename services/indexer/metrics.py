"""Everything the indexer measures beside what every service does."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from colloquy.servicekit.metrics import COUNTS, SECONDS, CallMetrics


class Metrics:
    """Names end in their unit; labels are closed sets."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = CallMetrics(registry, "indexer")
        self._depth = Gauge(
            "indexer_queue_items", "Accepted and not done.", ["state"], registry=registry
        )
        self.items = Counter(
            "indexer_items_total", "Attempts, by how they ended.", ["action", "outcome"],
            registry=registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "indexer_item_seconds", "From taking an item up to writing its end down.", ["action"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.expired = Counter(
            "indexer_lease_expiries_total", "Leases that nobody renewed.", registry=registry
        )
        self.degraded = Counter(
            "indexer_splits_degraded_total", "Dialogues cut into windows.", registry=registry
        )
        self.upserted = Histogram(
            "indexer_upsert_fragments", "In one call.", buckets=COUNTS, registry=registry
        )
        self.failing = Gauge(
            "indexer_loops_failing", "Loops whose last round failed.", ["loop"], registry=registry
        )

    def observe_depth(self, by_state: Mapping[str, int]) -> None:
        for state in ("queued", "running"):
            self._depth.labels(state).set(by_state.get(state, 0))
