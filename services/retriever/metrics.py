"""Everything the retriever measures beside what every service does."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from colloquy.engine.serving.metrics import EngineMetrics
from colloquy.servicekit.metrics import COUNTS, SECONDS


class Metrics(EngineMetrics):
    """Names end in their unit; labels are spaces, tasks and engines of the profile."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry, "retriever")
        self.batch_seconds = Histogram(
            "retriever_batch_seconds",
            "One batch of open_clip; kind is `text` or `picture`.",
            ["space", "kind"],
            buckets=SECONDS,
            registry=registry,
        )
        self.batch_items = Histogram(
            "retriever_batch_items",
            "Texts or pictures in one batch.",
            ["space", "kind"],
            buckets=COUNTS,
            registry=registry,
        )
        self.method_seconds = Histogram(
            "retriever_method_seconds",
            "What one method of a search took: a space, or `bm25`.",
            ["method"],
            buckets=SECONDS,
            registry=registry,
        )
        self.left_out = Counter(
            "retriever_methods_left_out_total",
            "Methods that a search went on without.",
            ["method"],
            registry=registry,
        )
        self.queries_known = Counter(
            "retriever_queries_known_total",
            "Queries whose vector was remembered.",
            ["space"],
            registry=registry,
        )
        self.fragments = Counter(
            "retriever_fragments_total",
            "Fragments sent for storing: `stored`, or `refused` for what is wrong with them.",
            ["outcome"],
            registry=registry,
        )
