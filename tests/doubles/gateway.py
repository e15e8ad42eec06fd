"""A real gateway over a generator double, both under uvicorn."""

import base64
import io
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from pydantic import SecretStr

from colloquy.profile import Media
from colloquy.servicekit.keys import KeyStore
from colloquy.servicekit.testing import serve_in_thread
from gateway.app import create_app
from gateway.settings import Settings
from tests.doubles.generator import GeneratorDouble, generator_app

ROOT = Path(__file__).parents[2]
PAGE_TOKEN = "page-token-of-the-tests"
HOP_SECRET = "hop-secret-of-the-tests"


@dataclass
class RunningGateway:
    """A gateway that serves.

    Attributes:
        http: a client without a key.
    """

    url: str
    http: httpx.Client
    generator: GeneratorDouble
    settings: Settings

    def key(self, tenant: str | None, *scopes: str) -> dict[str, str]:
        """Makes a key and returns the header that sends it."""
        with closing(KeyStore(self.settings.keys_file)) as keys:
            return {"authorization": f"Bearer {keys.create(tenant, scopes)}"}

    def search(self, dialogue: Any, query: str = "cake", **more: Any) -> httpx.Response:
        headers = more.pop("headers", None)
        body = {"query": query, "dialogue": dialogue} | more
        return self.http.post("/v1/fragments/search", json=body, headers=headers)


def settings_in(folder: Path, **knobs: Any) -> Settings:
    return Settings(
        **{
            "generator": "unix:generator.sock",
            "blobs_dir": folder / "blobs",
            "keys_file": folder / "keys.db",
            "hop_secret": SecretStr(HOP_SECRET),
            "blob_key": SecretStr("blob-key-of-the-tests"),
            "page_token": SecretStr(PAGE_TOKEN),
            "console": ROOT / "console",
            "samples": ROOT / "starter" / "samples",
            "media": Media(workers=1),
        }
        | knobs
    )


@contextmanager
def running_gateway(folder: Path, **knobs: Any) -> Iterator[RunningGateway]:
    double = GeneratorDouble()
    # A Unix socket's path is short; a test's folder may not be.
    with tempfile.TemporaryDirectory(prefix="cq") as short:
        socket_path = Path(short) / "generator.sock"
        app = generator_app(double, HOP_SECRET)
        with serve_in_thread(app, socket_path=socket_path) as address:
            settings = settings_in(folder, **{"generator": address} | knobs)
            with (
                serve_in_thread(create_app(settings)) as url,
                httpx.Client(base_url=url, timeout=30, trust_env=False) as http,
            ):
                yield RunningGateway(url, http, double, settings)


def png(color: tuple[int, int, int] = (200, 40, 40), size: tuple[int, int] = (32, 24)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, color).save(stream, "PNG")
    return stream.getvalue()


def data_url(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def image_part(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def dialogue(*contents: Any) -> dict[str, Any]:
    """Turns of two speakers in turn; a content is a text or a list of parts."""
    names = ("Ana", "Ben")
    return {
        "utterances": [
            {"speaker": names[i % 2], "content": content} for i, content in enumerate(contents)
        ]
    }
