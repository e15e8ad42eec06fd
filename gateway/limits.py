"""Routes that last longer, or take more, than a request does."""

import re

from colloquy.servicekit.middleware import RouteLimits
from gateway.settings import Settings

_STREAM_MS = 3_600_000
"""An hour; then whoever follows a job asks again."""


def limits_of_routes(settings: Settings) -> list[RouteLimits]:
    """An ingestion, whose body goes to disk, and a stream that follows a job."""
    return [
        RouteLimits(
            method="POST",
            path=re.compile("/v1/collections/[^/]*/dialogues"),
            deadline_ms=settings.ingest_timeout_ms,
            max_bytes=settings.max_ingest_bytes,
        ),
        RouteLimits(
            method="GET",
            path=re.compile("/v1/jobs/[^/]*/events"),
            deadline_ms=_STREAM_MS,
        ),
    ]
