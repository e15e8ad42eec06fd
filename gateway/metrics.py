"""What the gateway measures beyond what every service does."""

from prometheus_client import CollectorRegistry, Histogram

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
        self.dialogue_turns = Histogram(
            "gateway_dialogue_turns", "Turns of a dialogue.", buckets=COUNTS, registry=registry
        )
        self.dialogue_images = Histogram(
            "gateway_dialogue_images", "Its pictures.", buckets=COUNTS, registry=registry
        )
