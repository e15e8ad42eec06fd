"""What every service that asks engines measures about them."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from colloquy.engine.queue import EngineQueue
from colloquy.engine.requests import Generation
from colloquy.servicekit.metrics import SECONDS


class EngineMetrics:
    """Names begin with the service and end in their unit; labels are tasks and engines of the
    profile."""

    def __init__(self, registry: CollectorRegistry, service: str) -> None:
        self.queue_seconds = Histogram(
            f"{service}_queue_seconds",
            "Waited for a place in the engine.",
            ["engine"],
            buckets=SECONDS,
            registry=registry,
        )
        self.engine_seconds = Histogram(
            f"{service}_engine_seconds",
            "One call of the engine.",
            ["task"],
            buckets=SECONDS,
            registry=registry,
        )
        self.prompt_tokens = Counter(
            f"{service}_prompt_tokens_total", "Tokens read.", ["task"], registry=registry
        )
        self.cached_tokens = Counter(
            f"{service}_cached_tokens_total",
            "Of the prompt, found in the prefix cache.",
            ["task"],
            registry=registry,
        )
        self.output_tokens = Counter(
            f"{service}_output_tokens_total", "Tokens written.", ["task"], registry=registry
        )
        self.wasted = Counter(
            f"{service}_wasted_calls_total",
            "Engine calls that were given up while they ran: the caller left, or time was up.",
            ["task"],
            registry=registry,
        )
        self._waiting = Gauge(
            f"{service}_waiting_calls", "Calls in the queue.", ["engine"], registry=registry
        )
        self._running = Gauge(
            f"{service}_running_calls", "Calls in the engine.", ["engine"], registry=registry
        )
        self.ready = Gauge(
            f"{service}_engine_ready", "1 while the engine answers probes.", ["engine"],
            registry=registry,
        )  # fmt: skip

    def watch(self, engine: str, queue: EngineQueue) -> None:
        self._waiting.labels(engine).set_function(lambda: queue.waiting)
        self._running.labels(engine).set_function(lambda: queue.running)

    def count(self, task: str, generation: Generation) -> None:
        self.count_read(task, generation.prompt_tokens, generation.cached_tokens)
        self.output_tokens.labels(task).inc(generation.output_tokens)

    def count_read(self, task: str, prompt_tokens: int, cached_tokens: int) -> None:
        self.prompt_tokens.labels(task).inc(prompt_tokens)
        self.cached_tokens.labels(task).inc(cached_tokens)
