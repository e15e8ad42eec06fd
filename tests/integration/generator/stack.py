"""Running the generator, and asking it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from colloquy.servicekit.testing import serve_in_thread
from services.generator.app import create_app
from services.generator.settings import Settings

HOP = "hop-secret-of-the-tests"


@contextmanager
def serving(settings: Settings, *, wait_ready: bool = True) -> Iterator[httpx.Client]:
    headers = {"x-colloquy-hop-secret": HOP}
    with (
        serve_in_thread(create_app(settings)) as url,
        httpx.Client(base_url=url, headers=headers, timeout=20) as client,
    ):
        if wait_ready:
            wait_for(lambda: client.get("/readyz").status_code == 200)
        yield client


def wait_for(holds: Callable[[], bool], *, within_s: float = 15.0) -> float:
    """Waits until `holds`; returns the seconds it took."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < within_s, "it never came true"
        time.sleep(0.02)
    return time.monotonic() - started


def dialogue(count: int, *, image: str | None = None, every: int = 5) -> dict[str, Any]:
    """`count` turns; each `every`-th shows `image`."""
    turns = []
    for number in range(count):
        content: Any = f"turn {number}"
        if image is not None and number % every == every - 1:
            content = [
                {"type": "text", "text": f"turn {number}"},
                {"type": "image_url", "image_url": {"url": image}},
            ]
        turns.append({"speaker": "User1", "content": content})
    return {"utterances": turns}
