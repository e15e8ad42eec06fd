"""Everything the generator measures beside what every service does."""

from prometheus_client import CollectorRegistry, Histogram

from colloquy.engine.serving.metrics import EngineMetrics
from colloquy.servicekit.metrics import COUNTS


class Metrics(EngineMetrics):
    """Names end in their unit; labels are tasks and engines of the profile."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry, "generator")
        self.slices = Histogram(
            "generator_slices", "Slices of a dialogue.", ["task"], buckets=COUNTS, registry=registry
        )
