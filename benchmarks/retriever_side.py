"""A retriever of the bench's own, on weights that the bench made."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from colloquy.contracts.content import ImagePart, TextPart
from colloquy.contracts.retrieval import Embed, EmbedItem
from colloquy.media.blobs import BlobStore
from colloquy.profile import (
    BLOB_KEY_VARIABLE,
    HOP_SECRET_VARIABLE,
    PROFILE_VARIABLE,
    Profile,
    new_secret,
)
from colloquy.servicekit.middleware import HOP_SECRET_HEADER

TENANT = "bench"
_START_WITHIN_S = 120.0


class RetrieverFailed(Exception):
    """It does not start; the message has its last words."""


@dataclass(frozen=True, slots=True)
class RetrieverSide:
    """A running retriever, reached as the gateway reaches it."""

    client: httpx.AsyncClient
    blobs: BlobStore

    def keep(self, pngs: Sequence[bytes], side: int) -> list[str]:
        """Puts pictures into the blob store; returns their references."""
        return [self.blobs.put(TENANT, png, "image/png", side, side).ref for png in pngs]

    async def embed_text(self, text: str) -> list[float]:
        return await self._embed(TextPart(text=text))

    async def embed_picture(self, ref: str) -> list[float]:
        return await self._embed(ImagePart.of(ref))

    async def _embed(self, part: TextPart | ImagePart) -> list[float]:
        body = Embed(tenant=TENANT, space="clip", items=[EmbedItem(content=[part])])
        answer = await self.client.post(
            "/v1/embed",
            content=body.model_dump_json(),
            headers={"content-type": "application/json"},
        )
        answer.raise_for_status()
        vector: list[float] = answer.json()["vectors"][0]
        return vector


@contextmanager
def retriever(weights: Path, *, threads: int, dtype: str = "float32") -> Iterator[Path]:
    """Starts `services.retriever` on one CLIP space; yields its profile.

    Raises:
        RetrieverFailed
    """
    with tempfile.TemporaryDirectory(prefix="colloquy-bench-") as name:
        folder = Path(name)
        path = folder / "bench.yaml"
        path.write_text(yaml.safe_dump(_profile(folder, weights, threads, dtype)))
        profile = Profile.load(path)
        profile.run_dir.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {
            PROFILE_VARIABLE: str(path),
            HOP_SECRET_VARIABLE: _HOP,
            BLOB_KEY_VARIABLE: _HOP,
            "OMP_NUM_THREADS": str(threads),
        }
        log = folder / "retriever.log"
        with log.open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "services.retriever"],
                env=environment,
                stdout=said,
                stderr=said,
            )
        try:
            _wait(process, profile, log)
            yield path
        finally:
            process.terminate()
            process.wait(timeout=30)


@contextmanager
def blobs_of(profile: Profile) -> Iterator[BlobStore]:
    store = BlobStore(profile.blobs_dir, _HOP.encode())
    try:
        yield store
    finally:
        store.close()


def client_of(profile: Profile) -> httpx.AsyncClient:
    address = profile.address_of("retriever")
    limits = httpx.Limits(max_connections=256, max_keepalive_connections=256)
    return httpx.AsyncClient(
        base_url="http://retriever",
        transport=httpx.AsyncHTTPTransport(uds=address.removeprefix("unix:"), limits=limits),
        headers={HOP_SECRET_HEADER: _HOP},
        timeout=300.0,
        trust_env=False,
    )


_HOP = new_secret()


def _profile(folder: Path, weights: Path, threads: int, dtype: str) -> dict[str, object]:
    """The engine and its task are never asked; a profile has at least one."""
    return {
        "name": "bench",
        "about": "One CLIP space.",
        "root": str(folder),
        "state": str(folder / "var"),
        "engines": {
            "nobody": {
                "runtime": "openai",
                "url": "http://127.0.0.1:9",
                "model": "nobody",
            }
        },
        "tasks": {"fragment": {"engine": "nobody", "protocol": "f2rvlm", "tolerant": True}},
        "spaces": {
            "clip": {
                "kind": "open_clip",
                "model": str(weights),
                "threads": threads,
                "dtype": dtype,
            }
        },
        "retriever": {},
        "indexer": {},
    }


def _wait(process: "subprocess.Popen[bytes]", profile: Profile, log: Path) -> None:
    socket = profile.address_of("retriever").removeprefix("unix:")
    give_up = time.monotonic() + _START_WITHIN_S
    with httpx.Client(
        base_url="http://retriever",
        transport=httpx.HTTPTransport(uds=socket),
        headers={HOP_SECRET_HEADER: _HOP},
    ) as client:
        while time.monotonic() < give_up and process.poll() is None:
            try:
                if client.get("/readyz").status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.3)
    raise RetrieverFailed(f"the retriever did not start: {log.read_text()[-1_000:]}")
