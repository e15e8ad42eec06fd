"""A real gateway over doubles of every service behind it, all under uvicorn."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from colloquy.servicekit.testing import serve_in_thread
from gateway.app import create_app
from tests.doubles.front_indexer import IndexerDouble, indexer_app
from tests.doubles.front_reranker import RerankerDouble, reranker_app
from tests.doubles.front_retriever import RetrieverDouble, retriever_app
from tests.doubles.gateway import HOP_SECRET, PAGE_TOKEN, RunningGateway, settings_in
from tests.doubles.generator import GeneratorDouble, generator_app

TOKEN = {"authorization": f"Bearer {PAGE_TOKEN}"}
NDJSON = {"content-type": "application/x-ndjson"}
JSON = {"content-type": "application/json"}


@dataclass
class Front(RunningGateway):
    """A gateway that serves, with what stands behind it."""

    retriever: RetrieverDouble
    reranker: RerankerDouble
    indexer: IndexerDouble

    def reset(self) -> None:
        """Makes the doubles as new; the gateway itself keeps its keys and what it measured."""
        for double in (self.generator, self.retriever, self.reranker, self.indexer):
            for name, value in vars(type(double)()).items():
                setattr(double, name, value)

    def find(self, query: str | None = "cake", **more: Any) -> httpx.Response:
        headers = more.pop("headers", None)
        body = {"query": query, "collection": "family"} | more
        return self.http.post("/v1/fragments/search", json=body, headers=headers)

    def make(self, name: str = "family", headers: dict[str, str] = TOKEN) -> None:
        reply = self.http.put(f"/v1/collections/{name}", json={}, headers=headers)
        assert reply.status_code == 200, reply.text

    def ingest(
        self,
        body: bytes | str | list[Any],
        name: str = "family",
        headers: dict[str, str] = TOKEN,
        **more: str,
    ) -> httpx.Response:
        """Sends a list as JSON, a text or bytes as NDJSON."""
        kind = JSON if isinstance(body, list) else NDJSON
        content = json.dumps(body) if isinstance(body, list) else body
        return self.http.post(
            f"/v1/collections/{name}/dialogues", content=content, headers=kind | headers | more
        )

    def ingest_as_json(self, body: bytes) -> httpx.Response:
        path = "/v1/collections/family/dialogues"
        return self.http.post(path, content=body, headers=JSON | TOKEN)


@contextmanager
def running_front(folder: Path, **knobs: Any) -> Iterator[Front]:
    generator, retriever = GeneratorDouble(), RetrieverDouble()
    reranker, indexer = RerankerDouble(), IndexerDouble()
    apps = {
        "generator": generator_app(generator, HOP_SECRET),
        "retriever": retriever_app(retriever, HOP_SECRET),
        "reranker": reranker_app(reranker, HOP_SECRET),
        "indexer": indexer_app(indexer, HOP_SECRET),
    }
    with ExitStack() as stack:
        # A Unix socket's path is short; a test's folder may not be.
        short = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cq")))
        addresses = {
            name: stack.enter_context(serve_in_thread(app, socket_path=short / f"{name}.sock"))
            for name, app in apps.items()
        }
        settings = settings_in(folder, **addresses | {"spool_dir": folder / "spool"} | knobs)
        url = stack.enter_context(serve_in_thread(create_app(settings)))
        http = stack.enter_context(httpx.Client(base_url=url, timeout=30, trust_env=False))
        yield Front(url, http, generator, settings, retriever, reranker, indexer)
