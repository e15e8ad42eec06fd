"""Everything the reranker measures beside what every service does."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from colloquy.engine.serving.metrics import EngineMetrics
from colloquy.servicekit.metrics import COUNTS


class Metrics(EngineMetrics):
    """Names end in their unit; labels are modes and where a score came from."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry, "reranker")
        self.candidates = Histogram(
            "reranker_candidates",
            "Candidates of a request.",
            ["mode"],
            buckets=COUNTS,
            registry=registry,
        )
        self.scores = Counter(
            "reranker_scores_total",
            "Scores that were asked of the engine, known before, or not given in time.",
            ["mode", "source"],
            registry=registry,
        )
        self.trimmed = Counter(
            "reranker_trimmed_requests_total",
            "Requests with a candidate that was longer than the model's context.",
            registry=registry,
        )
