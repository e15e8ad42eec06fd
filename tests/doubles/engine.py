"""An engine that speaks vLLM's HTTP API and computes nothing: the test sets its answers."""

import json
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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


class EngineDouble:
    """State and behaviour of a double.

    Attributes:
        base: the name of the model.
        adapters: folders of loaded adapters, by name.
        answers: the answer to a chat request.
        weights: for a chat request that asks for probabilities of tokens, their weights by id;
            what is missing weighs nothing.
        tokens: the tokens of a bare text.
        asked: every chat request that was not a probe.
        fails: (status, message) for chat requests, or None.
        finish_reason: of every answer.
        hold: while set, chat requests wait.
        cancelled: chat requests whose client left.
    """

    def __init__(self) -> None:
        self.base = BASE
        self.adapters: dict[str, str] = {}
        self.answers: Callable[[Body], str] = lambda _: ""
        self.weights: Callable[[Body], dict[int, float]] = lambda _: {}
        self.tokens: Callable[[str], list[int]] = lambda text: [ord(letter) for letter in text]
        self.asked: list[Body] = []
        self.pings = 0
        self.fails: tuple[int, str] | None = None
        self.finish_reason = "stop"
        self.hold = threading.Event()
        self.cancelled = 0
        self.tokens_per_character = 0.25
        self.counts = 0
        self.tokens_done = 0
        self._seen: set[str] = set()

    def restart(self) -> None:
        self.adapters.clear()
        self._seen.clear()

    def forget_pictures(self) -> None:
        self._seen.clear()

    async def chat(self, body: Body, request: Request) -> Response:
        if (refusal := lacks_model(body, self)) is not None:
            return refusal
        is_ping = body.get("structured_outputs") == {"grammar": 'root ::= "1"'}
        if not await waits(self.hold, request):
            self.cancelled += 1
            return Response()
        if self.fails is not None:
            return error(*self.fails)
        if is_ping:
            self.pings += 1
            return JSONResponse(_completion("1", body, "length"))
        for url, key in _pictures(body):
            if url is None and key not in self._seen:
                return error(400, "Cache miss for image at index 0 but data is not provided.")
            self._seen.add(key)
        self.asked.append(body)
        answer = _completion(self.answers(body), body, self.finish_reason)
        if "logprob_token_ids" in body:
            answer["choices"][0]["logprobs"] = _logprobs(self.weights(body), body)
        return JSONResponse(answer)

    def count(self, body: Body) -> int:
        self.counts += 1
        text = "".join(
            part["text"]
            for message in body["messages"]
            for part in _parts(message)
            if part["type"] == "text"
        )
        return int(len(text) * self.tokens_per_character) + 10 * len(_pictures(body))


@contextmanager
def serve_engine() -> Iterator[tuple[str, EngineDouble]]:
    """Yields the double's address and the double."""
    double = EngineDouble()
    with serve_in_thread(_app(double)) as address:
        try:
            yield address, double
        finally:
            double.hold.clear()


def _app(double: EngineDouble) -> FastAPI:
    app = FastAPI()
    add_model_routes(app, double, max_model_len=4096)

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        return await double.chat(json.loads(await request.body()), request)

    @app.post("/tokenize")
    async def tokenize(request: Request) -> Body:
        body = await request.json()
        if "prompt" in body:
            tokens = double.tokens(body["prompt"])
            return {"count": len(tokens), "tokens": tokens}
        return {"count": double.count(body), "tokens": []}

    @app.get("/metrics")
    async def metrics() -> Response:
        return PlainTextResponse(
            f'# HELP x\nvllm:prompt_tokens_total{{engine="0"}} {double.tokens_done}.0\n'
            f'vllm:generation_tokens_total{{engine="0"}} 1.0\n'
        )

    return app


def _completion(text: str, body: Body, finish_reason: str) -> Body:
    return {
        "choices": [{"message": {"content": text}, "finish_reason": finish_reason}],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 64},
        },
    }


def _logprobs(weights: dict[int, float], body: Body) -> Body:
    entries = [
        {
            "token": f"token_id:{token}",
            "logprob": math.log(weights[token]) if weights.get(token) else -9999.0,
        }
        for token in body["logprob_token_ids"]
    ]
    return {"content": [{**entries[0], "top_logprobs": entries}]}


def _parts(message: Body) -> list[Body]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _pictures(body: Body) -> list[tuple[str | None, str]]:
    """(data URL or None, uuid) of every picture."""
    return [
        ((part["image_url"] or {}).get("url"), part.get("uuid", ""))
        for message in body["messages"]
        for part in _parts(message)
        if part["type"] == "image_url"
    ]
