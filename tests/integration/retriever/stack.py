"""Running the retriever, and asking it."""

import io
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from PIL import Image

from colloquy.media.blobs import BlobStore
from colloquy.servicekit.testing import serve_in_thread
from services.retriever.app import create_app
from services.retriever.settings import Settings
from tests.doubles.vector_store import StoreDouble, opens

HOP = "hop-secret-of-the-tests"
TENANT = "acme"
Body = dict[str, Any]


@contextmanager
def serving(
    settings: Settings, store: StoreDouble, *, wait_ready: bool = True
) -> Iterator[httpx.Client]:
    headers = {"x-colloquy-hop-secret": HOP}
    with (
        serve_in_thread(create_app(settings, open_store=opens(store))) as url,
        httpx.Client(base_url=url, headers=headers, timeout=30) as client,
    ):
        if wait_ready:
            wait_for(lambda: client.get("/readyz").status_code == 200)
        yield client


def wait_for(holds: Callable[[], bool], *, within_s: float = 30.0) -> float:
    """Waits until `holds`; returns the seconds it took."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < within_s, "it never came true"
        time.sleep(0.02)
    return time.monotonic() - started


def asked(client: httpx.Client, path: str, **body: Any) -> Any:
    """The answer of a request that must succeed."""
    reply = refused(client, path, **body)
    assert reply.status_code == 200, reply.text
    return reply.json()


def refused(client: httpx.Client, path: str, **body: Any) -> httpx.Response:
    return client.post(path, json={"tenant": TENANT} | body)


def open_collection(client: httpx.Client, *spaces: str, name: str = "c", **more: Any) -> Any:
    return asked(
        client, "/v1/collections/open", collection=name, spaces=list(spaces or ("clip",)), **more
    )


def fragment(which: int, *contents: Any, speaker: str = "Ann", **fields: Any) -> Body:
    """A record; each content is one turn's, a string or a list of parts."""
    turns = [
        {"id": place, "speaker": speaker, "content": content}
        for place, content in enumerate(contents)
    ]
    pictures = sum(
        part["type"] == "image_url"
        for content in contents
        if not isinstance(content, str)
        for part in content
    )
    return {
        "id": str(uuid.UUID(int=which)),
        "dialogue_id": f"d{which}",
        "number": 0,
        "revision": 1,
        "utterances": turns,
        "image_ids": list(range(pictures)),
    } | fields


def text_part(text: str) -> Body:
    return {"type": "text", "text": text}


def picture_part(ref: str) -> Body:
    return {"type": "image_url", "image_url": {"url": ref}}


def upsert(client: httpx.Client, *fragments: Body, name: str = "c", **more: Any) -> Any:
    return asked(client, "/v1/fragments/upsert", collection=name, fragments=list(fragments), **more)


def retrieve(client: httpx.Client, name: str = "c", **body: Any) -> Any:
    return asked(client, "/v1/retrieve", collection=name, **body)


def numbers(answer: Any) -> list[int]:
    """The numbers of the fragments that were found, best first."""
    return [uuid.UUID(one["fragment"]["id"]).int for one in answer["candidates"]]


def painted(color: tuple[int, int, int], size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.new("RGB", size, color)


def stored(blobs: BlobStore, picture: Image.Image, tenant: str = TENANT) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return blobs.put(tenant, buffer.getvalue(), "image/png", *picture.size).ref
