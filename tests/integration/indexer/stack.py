"""Running the indexer over doubles, and asking it."""

import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from pydantic import SecretStr

from colloquy.contracts.retrieval import FragmentRecord
from colloquy.media.blobs import BlobStore
from colloquy.servicekit.testing import serve_in_thread
from services.indexer.app import create_app
from services.indexer.settings import Settings, Tuning
from tests.doubles.generator import GeneratorDouble, generator_app
from tests.doubles.retriever import RetrieverDouble, retriever_app

HOP = "hop-secret-of-the-tests"
BLOB_KEY = "blob-key-of-the-tests"
TENANT = "acme"
SHELF = "family"
QUICK = {
    "lease_s": 3.0, "poll_s": 0.05, "sweep_every_s": 0.3, "longest_wait_s": 0.2, "max_failures": 3,
}  # fmt: skip


@dataclass
class RunningIndexer:
    """An indexer that serves, over doubles.

    Attributes:
        http: sends the hop secret.
    """

    http: httpx.Client
    retriever: RetrieverDouble
    generator: GeneratorDouble
    blobs: BlobStore
    settings: Settings

    def post(self, path: str, /, **body: Any) -> httpx.Response:
        return self.http.post(path, json={"tenant": TENANT} | body)

    def ask(self, path: str, /, **body: Any) -> dict[str, Any]:
        reply = self.post(path, **body)
        assert reply.status_code == 200, reply.text
        answer: dict[str, Any] = reply.json()
        return answer

    def shelf(self, name: str = SHELF, **spec: Any) -> dict[str, Any]:
        return self.ask("/v1/collections/put", collection=name, spec=spec)

    def send(
        self, dialogues: Sequence[dict[str, Any]], *, key: str | None = None, shelf: str = SHELF
    ) -> str:
        """Ingests, without waiting; returns the job."""
        body = hashlib.sha256(json.dumps(dialogues).encode()).hexdigest()
        opened = self.ask("/v1/jobs/open", collection=shelf, idempotency_key=key, body_sha256=body)
        job: str = opened["job"]
        if opened["sealed"]:
            return job
        for start in range(0, len(dialogues), 1_000):
            items = [
                {"position": start + place, "dialogue": dialogue}
                for place, dialogue in enumerate(dialogues[start : start + 1_000])
            ]
            self.ask("/v1/jobs/items", job=job, items=items)
        self.ask("/v1/jobs/seal", job=job)
        return job

    def ended(self, job: str, *, within_s: float = 20.0) -> dict[str, Any]:
        """The job when it has ended."""
        found: dict[str, Any] = {}

        def has_ended() -> bool:
            found.update(self.ask("/v1/jobs/get", job=job))
            return found["state"] in {"done", "failed", "cancelled"}

        wait_for(has_ended, within_s=within_s)
        return found

    def index(self, *dialogues: dict[str, Any], **more: Any) -> dict[str, Any]:
        return self.ended(self.send(dialogues, **more))

    def read(self, identity: str, shelf: str = SHELF) -> dict[str, Any]:
        return self.ask("/v1/dialogues/get", collection=shelf, dialogue_id=identity)

    def searched(self, identity: str | None = None, shelf: str = SHELF) -> list[FragmentRecord]:
        """The fragments that a search would go through."""
        found = self.retriever.records(TENANT, shelf)
        return [r for r in found if identity is None or r.dialogue_id == identity]

    def picture(self, shade: int = 0) -> str:
        """Uploads a picture; returns its reference."""
        out = io.BytesIO()
        Image.new("L", (8, 8), shade).save(out, "PNG")
        return self.blobs.put(TENANT, out.getvalue(), "image/png", 8, 8).ref


def settings_in(folder: Path, retriever: str, generator: str, **knobs: Any) -> Settings:
    ledger = knobs.pop("ledger", None) or f"sqlite:///{folder / 'ledger.sqlite'}"
    return Settings(
        listen="127.0.0.1:0",
        ledger=ledger,
        spaces=["clip"],
        generator=generator,
        retriever=retriever,
        blobs=folder / "blobs",
        blob_key=SecretStr(BLOB_KEY),
        hop_secret=SecretStr(HOP),
        tuning=Tuning(**QUICK | knobs),
    )


@contextmanager
def doubles() -> Iterator[tuple[RetrieverDouble, str, GeneratorDouble, str]]:
    """A retriever and a generator, and where they are."""
    retriever, generator = RetrieverDouble(), GeneratorDouble()
    with (
        serve_in_thread(retriever_app(retriever, HOP)) as found,
        serve_in_thread(generator_app(generator, HOP)) as written,
    ):
        yield retriever, found, generator, written


@contextmanager
def running_indexer(folder: Path, **knobs: Any) -> Iterator[RunningIndexer]:
    with (
        doubles() as (retriever, found, generator, written),
        serving(settings_in(folder, found, written, **knobs), retriever, generator) as indexer,
    ):
        yield indexer


@contextmanager
def serving(
    settings: Settings, retriever: RetrieverDouble, generator: GeneratorDouble
) -> Iterator[RunningIndexer]:
    headers = {"x-colloquy-hop-secret": HOP}
    with (
        serve_in_thread(create_app(settings)) as url,
        httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as http,
        closing(BlobStore(settings.blobs, BLOB_KEY.encode())) as blobs,
    ):
        yield RunningIndexer(http, retriever, generator, blobs, settings)


def wait_for(holds: Callable[[], bool], *, within_s: float = 20.0) -> None:
    give_up = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < give_up, "it never came true"
        time.sleep(0.02)


def talk(identity: str, *texts: str, **more: Any) -> dict[str, Any]:
    """A dialogue of Ana and Ben in turn."""
    names = ("Ana", "Ben")
    turns = [{"speaker": names[i % 2], "content": text} for i, text in enumerate(texts)]
    return {"id": identity, "utterances": turns} | more


def long_talk(identity: str, count: int, word: str = "turn") -> dict[str, Any]:
    return talk(identity, *(f"{word} {number}" for number in range(count)))


def shows(speaker: str, text: str, *pictures: str) -> dict[str, Any]:
    """A turn with pictures."""
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}]
    parts += [{"type": "image_url", "image_url": {"url": picture}} for picture in pictures]
    return {"speaker": speaker, "content": parts}


def texts(records: list[FragmentRecord]) -> list[list[str]]:
    return [[str(turn.content) for turn in record.utterances] for record in records]


def stored_times(indexer: RunningIndexer) -> int:
    return sum(indexer.retriever.upserted.values())
