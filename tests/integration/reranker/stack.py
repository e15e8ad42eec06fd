"""Running the reranker, and asking it."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
from PIL import Image

from colloquy.media.blobs import BlobStore
from colloquy.servicekit.testing import serve_in_thread
from services.reranker.app import create_app
from services.reranker.settings import Settings
from tests.doubles.engine_parts import Body
from tests.integration.generator.stack import wait_for

HOP = "hop-secret-of-the-tests"
# The double's tokens of a text are its letters.
YES, NO = ord("Y"), ord("N")
Shown = str | Sequence[str]


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


def parts(shown: Shown) -> list[dict[str, Any]]:
    """Texts and `blob:` references as content parts."""
    pieces = [shown] if isinstance(shown, str) else shown
    return [
        {"type": "image_url", "image_url": {"url": piece}}
        if piece.startswith("blob:")
        else {"type": "text", "text": piece}
        for piece in pieces
    ]


def rerank(
    client: httpx.Client, query: Shown, candidates: Sequence[Shown], **more: Any
) -> httpx.Response:
    headers = more.pop("headers", None)
    body = {
        "tenant": "acme",
        "query": parts(query),
        "candidates": [parts(candidate) for candidate in candidates],
    }
    return client.post("/v1/rerank", json=body | more, headers=headers)


def user_text(body: Body) -> str:
    """The question as the model reads it, with `[picture]` where one stands."""
    pieces = body["messages"][1]["content"]
    return "".join(piece.get("text", "[picture]") for piece in pieces)


def candidate_in(body: Body) -> str:
    return user_text(body).partition("Candidate:")[2]


def by_length(body: Body) -> dict[int, float]:
    """P(Yes) grows with the candidate's length: 1 in 100 a character."""
    share = min(0.99, len(candidate_in(body)) / 100)
    return {YES: share, NO: 1 - share}


def listed_in(body: Body) -> list[int]:
    shown = user_text(body).partition("Candidates:")[2]
    return [int(number) for number in re.findall(r"\((\d{1,2})\) ", shown)]


def stored(blobs: BlobStore, seed: int = 0, tenant: str = "acme") -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (seed, 0, 0)).save(buffer, "PNG")
    return blobs.put(tenant, buffer.getvalue(), "image/png", 40, 30).ref
