"""An engine that speaks vLLM's pooling API and computes nothing: a text's vector is a hash of it,
or what the test says."""

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from colloquy.servicekit.testing import serve_in_thread
from tests.doubles.engine_parts import (
    BASE,
    Body,
    add_model_routes,
    error,
    lacks_model,
    waits,
)

DIMENSIONS = 16


def hashed(text: str) -> list[float]:
    """A unit vector that any other text has with probability zero."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(DIMENSIONS)
    return [float(value) for value in vector / np.linalg.norm(vector)]


class PoolingEngineDouble:
    """State and behaviour of a double.

    Attributes:
        base: the name of the model.
        adapters: folders of loaded adapters, by name.
        vector: of a user turn's text, pictures shown as `<image>`.
        asked: every request for an embedding that was not a probe.
        fails: (status, message) for every embedding, or None.
        context_tokens: a longer prompt is refused; a token is a character, a picture ten.
        hold: while set, embeddings wait.
        most_running: of embeddings at one time.
    """

    def __init__(self) -> None:
        self.base = BASE
        self.adapters: dict[str, str] = {}
        self.vector: Callable[[str], list[float]] = hashed
        self.asked: list[Body] = []
        self.fails: tuple[int, str] | None = None
        self.context_tokens = 10_000
        self.hold = threading.Event()
        self.most_running = 0
        self._running = 0

    async def embed(self, body: Body, request: Request) -> Response:
        if (refusal := lacks_model(body, self)) is not None:
            return refusal
        self._running += 1
        self.most_running = max(self.most_running, self._running)
        try:
            await asyncio.sleep(0.002)
            if not await waits(self.hold, request):
                return Response()
        finally:
            self._running -= 1
        if self.fails is not None:
            return error(*self.fails)
        if tokens_of(body) > self.context_tokens:
            return error(400, "This model's maximum context length is exceeded.")
        text = user_text(body)
        if body["cache_salt"] != "probe":
            self.asked.append(body)
        answer = {
            "data": [{"embedding": self.vector(text)}],
            "usage": {"prompt_tokens": tokens_of(body)},
        }
        return JSONResponse(answer)


def user_text(body: Body) -> str:
    parts = body["messages"][-1]["content"]
    return "".join(part.get("text", "<image>") for part in parts)


def tokens_of(body: Body) -> int:
    parts = body["messages"][-1]["content"]
    return sum(len(part["text"]) if part["type"] == "text" else 10 for part in parts)


@contextmanager
def serve_pooling_engine() -> Iterator[tuple[str, PoolingEngineDouble]]:
    """Yields the double's address and the double."""
    double = PoolingEngineDouble()
    with serve_in_thread(_app(double)) as address:
        try:
            yield address, double
        finally:
            double.hold.clear()


def _app(double: PoolingEngineDouble) -> FastAPI:
    app = FastAPI()
    add_model_routes(app, double, max_model_len=10_000)

    @app.post("/v1/embeddings")
    async def embeddings(request: Request) -> Response:
        return await double.embed(json.loads(await request.body()), request)

    @app.post("/tokenize")
    async def tokenize(request: Request) -> Body:
        return {"count": tokens_of(await request.json()), "tokens": []}

    @app.get("/metrics")
    async def metrics() -> Response:
        return PlainTextResponse("vllm:prompt_tokens_total 1.0\n")

    return app
