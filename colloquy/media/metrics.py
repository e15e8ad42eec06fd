"""What the intake of pictures measures."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from colloquy.servicekit.metrics import SECONDS


class MediaMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.decode_seconds = Histogram(
            "media_decode_seconds", "One picture in a decoder.", buckets=SECONDS, registry=registry
        )
        self.decoders_killed = Counter(
            "media_decoders_killed_total", "Decoders ended by a picture.", registry=registry
        )
        self.images = Counter(
            "media_images_total",
            "Pictures taken in, by how: `decoded`, `cached`, `referred`, or `refused`.",
            ["outcome"],
            registry=registry,
        )
