"""What the gateway measures beyond what every service does."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from colloquy.media.metrics import MediaMetrics
from colloquy.servicekit.metrics import COUNTS, SECONDS, CallMetrics


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.media = MediaMetrics(registry)
        self.calls = CallMetrics(registry, "gateway")
        self.step_seconds = Histogram(
            "gateway_step_seconds",
            "One step of a pipeline.",
            ["step"],
            buckets=SECONDS,
            registry=registry,
        )
        self.degraded = Counter(
            "gateway_degraded_total",
            "Searches in collections that left something out, by what.",
            ["what"],
            registry=registry,
        )
        self.ingested_items = Counter(
            "gateway_ingested_items_total",
            "Items of acknowledged ingestions, `accepted` or `failed`.",
            ["outcome"],
            registry=registry,
        )
        self.dialogue_turns = Histogram(
            "gateway_dialogue_turns", "Turns of a dialogue.", buckets=COUNTS, registry=registry
        )
        self.dialogue_images = Histogram(
            "gateway_dialogue_images", "Its pictures.", buckets=COUNTS, registry=registry
        )
