"""What is served is what open_clip computes on the same weights."""

import io
import itertools
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from colloquy.media.blobs import BlobStore
from colloquy.registry.store import Registry
from colloquy.sections import ClipSpace
from services.retriever.encoders import load_clip
from services.retriever.settings import Settings
from tests import starter
from tests.doubles.vector_store import StoreDouble
from tests.integration.retriever.clips import Reference, write_checkpoint, write_clip
from tests.integration.retriever.stack import (
    asked,
    painted,
    picture_part,
    refused,
    serving,
    stored,
    text_part,
    wait_for,
)

pytestmark = pytest.mark.integration
TEXTS = ["red shoes", "the weather is fine today, is it not?", "红色的鞋子", "a " * 60, "x", ""]


@pytest.fixture(scope="module")
def reference(clip_registry: Path) -> Reference:
    return Reference(clip_registry / "clip" / "1")


def noise(seed: int, size: tuple[int, int] = (50, 40)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def embedded(client: httpx.Client, *contents: list[Any], **more: Any) -> Any:
    items = [{"content": content} | more for content in contents]
    return asked(client, "/v1/embed", space="clip", items=items)


def vectors(client: httpx.Client, *contents: list[Any], **more: Any) -> "np.ndarray[Any, Any]":
    return np.array(embedded(client, *contents, **more)["vectors"])


def cosine(one: Any, other: Any) -> float:
    return float(np.dot(one, other) / np.linalg.norm(one) / np.linalg.norm(other))


def unit(vector: Any) -> Any:
    return vector / np.linalg.norm(vector)


def test_texts_and_pictures_are_those_of_open_clip(
    clip_only: Settings, store: StoreDouble, blobs: BlobStore, reference: Reference
) -> None:
    pictures = [noise(seed, (30 + 7 * seed, 90 - 9 * seed)) for seed in range(6)]
    refs = [stored(blobs, picture) for picture in pictures]
    with serving(clip_only, store) as client:
        told = vectors(
            client,
            *([text_part(text)] for text in TEXTS[:-1]),
            *([picture_part(ref)] for ref in refs),
        )
    expected = [reference.text(text) for text in TEXTS[:-1]]
    expected += [reference.picture(picture) for picture in pictures]
    cosines = [cosine(a, b) for a, b in zip(told, expected, strict=True)]
    assert min(cosines) > 0.9999
    assert np.linalg.norm(told, axis=1) == pytest.approx(1.0, abs=1e-5)
    # Random towers must tell things apart, or the cosines above prove nothing.
    others = [cosine(a, b) for i, a in enumerate(told) for b in told[:i]]
    assert max(others) < 0.99


def test_a_vector_does_not_depend_on_what_else_is_in_its_batch(
    clip_only: Settings, store: StoreDouble, blobs: BlobStore
) -> None:
    contents = [[text_part(f"{'word ' * (n % 40)} {n}")] for n in range(40)]
    contents += [[picture_part(stored(blobs, noise(seed)))] for seed in range(30)]
    with serving(clip_only, store) as client:
        together = vectors(client, *contents)
        order = random.Random(1).sample(range(len(contents)), len(contents))
        shuffled = vectors(client, *(contents[i] for i in order))
        with ThreadPoolExecutor(8) as pool:
            alone = list(pool.map(lambda content: vectors(client, content)[0], contents))
    for place, number in enumerate(order):
        assert cosine(shuffled[place], together[number]) > 0.99999
    assert min(cosine(a, b) for a, b in zip(alone, together, strict=True)) > 0.99999


def test_text_and_pictures_are_fused_as_a_sum_of_means(
    clip_only: Settings, store: StoreDouble, blobs: BlobStore, reference: Reference
) -> None:
    one, other = noise(1), noise(2)
    refs = [stored(blobs, one), stored(blobs, other)]
    with serving(clip_only, store) as client:
        (told,) = vectors(
            client, [text_part("red shoes"), *map(picture_part, refs), text_part("on a table")]
        )
    text = reference.text("red shoes\non a table")
    pictures = [reference.picture(picture) for picture in (one, other)]
    assert cosine(told, text + unit(sum(pictures) / 2)) > 0.9999


def test_a_long_text_is_the_mean_of_its_windows_and_nothing_is_cut(
    clip_only: Settings, store: StoreDouble, reference: Reference
) -> None:
    lines = [" ".join(f"word{n}" for n in range(start, start + 22)) for start in (0, 22, 44)]
    count = reference.tokenizer.encode
    assert all(len(count(line)) <= 75 for line in lines)
    assert all(len(count(f"{a} {b}")) > 75 for a, b in itertools.pairwise(lines))
    with serving(clip_only, store) as client:
        (long,) = vectors(client, [text_part("\n".join(lines))])
        (changed,) = vectors(client, [text_part("\n".join([*lines[:-1], lines[-1] + " zebra"]))])
        tokens = embedded(client, [text_part("\n".join(lines))])["tokens"]
    mean = np.mean([reference.text(line) for line in lines], axis=0)
    assert cosine(long, mean) > 0.9999
    assert cosine(long, changed) < 0.9999, "the end of a long text counts"
    assert tokens == sum(len(count(line)) + 2 for line in lines)


@pytest.mark.parametrize(
    "mark",
    ["<end_of_text>", "<START_OF_TEXT>", "&lt;end_of_text&gt;", "&amp;lt;end_of_text&amp;gt;"],
)
def test_a_mark_in_a_text_hides_nothing_behind_it(
    clip_only: Settings, store: StoreDouble, mark: str
) -> None:
    with serving(clip_only, store) as client:
        one, other, plain = vectors(
            client, *([text_part(text)] for text in (f"{mark} cat", f"{mark} dog", "cat"))
        )
    assert cosine(one, other) < 0.999
    assert cosine(one, plain) > 0.9999


def test_a_blob_of_another_tenant_is_not_known_and_its_place_is_told(
    clip_only: Settings, store: StoreDouble, blobs: BlobStore
) -> None:
    foreign = stored(blobs, painted((1, 2, 3)), tenant="other")
    with serving(clip_only, store) as client:
        reply = refused(
            client,
            "/v1/embed",
            space="clip",
            items=[
                {"content": [text_part("fine")]},
                {"content": [picture_part(foreign)]},
                {"content": [picture_part("blob:nothing")]},
            ],
        )
    assert reply.status_code == 404
    assert [fault["at"] for fault in reply.json()["faults"]] == [
        "body/items/1/content",
        "body/items/2/content",
    ]


def test_a_picture_that_cannot_be_decoded_is_the_callers_fault(
    clip_only: Settings, store: StoreDouble, blobs: BlobStore
) -> None:
    # A header that holds, and nothing behind it.
    whole = Image.new("RGB", (64, 64), (9, 9, 9))
    ref = stored(blobs, whole)
    data = blobs.get("acme", ref).data[:60]
    broken = blobs.put("acme", data, "image/png", 64, 64).ref
    with serving(clip_only, store) as client:
        reply = refused(
            client, "/v1/embed", space="clip", items=[{"content": [picture_part(broken)]}]
        )
    assert reply.status_code == 422
    assert reply.json()["type"].endswith("bad-image")
    assert reply.json()["faults"] == [
        {"at": "body/items/0/content", "why": "the picture cannot be decoded"}
    ]


@pytest.mark.parametrize("content", [[text_part("")], [text_part(" \n"), text_part("")]])
def test_nothing_cannot_be_embedded(
    clip_only: Settings, store: StoreDouble, content: list[Any]
) -> None:
    with serving(clip_only, store) as client:
        reply = refused(client, "/v1/embed", space="clip", items=[{"content": content}])
    assert reply.status_code == 422
    assert reply.json()["faults"] == [
        {"at": "body/items/0/content", "why": "holds nothing to embed"}
    ]


def test_a_space_is_found_by_its_revision_too(clip_only: Settings, store: StoreDouble) -> None:
    items = [{"content": [text_part("cat")]}]
    with serving(clip_only, store) as client:
        by_name = asked(client, "/v1/embed", space="clip", items=items)
        by_revision = asked(client, "/v1/embed", space="clip@1", items=items)
        assert refused(client, "/v1/embed", space="clip@2", items=items).status_code == 404
    assert by_name["model"] == by_revision["model"] == "clip@1"
    assert by_name["vectors"] == by_revision["vectors"]


def test_more_contents_than_may_wait_are_refused_at_once(
    clip_only: Settings, store: StoreDouble
) -> None:
    encoding = clip_only.tuning.encoding.model_copy(update={"waiting_items": 3})
    tuning = clip_only.tuning.model_copy(update={"encoding": encoding})
    items = [{"content": [text_part(f"{n}")]} for n in range(4)]
    with serving(clip_only.model_copy(update={"tuning": tuning}), store) as client:
        reply = refused(client, "/v1/embed", space="clip", items=items)
        assert asked(client, "/v1/embed", space="clip", items=items[:3])
    assert reply.status_code == 503
    assert reply.headers["retry-after"]


@pytest.mark.parametrize("role", ["document", "query"])
def test_a_query_does_not_wait_for_a_backlog_of_long_texts(
    clip_only: Settings, store: StoreDouble, role: str
) -> None:
    letters = random.Random(3).choices("abcdefghijklmnopqrstuvwxyz", k=10_000)
    documents = [[text_part("".join(letters) + str(number))] for number in range(40)]
    with serving(clip_only, store) as client, ThreadPoolExecutor(1) as background:
        began = time.monotonic()
        backlog = background.submit(vectors, client, *documents, role=role)
        time.sleep(0.1)
        waited = []
        while not backlog.done():
            asked_at = time.monotonic()
            vectors(client, [text_part("red shoes")], role="query")
            waited.append(time.monotonic() - asked_at)
        took = time.monotonic() - began
        assert len(backlog.result()) == len(documents)
    assert max(waited) < took / 4


def test_half_precision_points_the_same_way(clip_registry: Path, reference: Reference) -> None:
    space = ClipSpace(kind="open_clip", model="clip@1", dtype="bfloat16")
    model = load_clip("clip", space, Registry([clip_registry]))
    (text,) = model.encode_texts([model.tokens("red shoes")])
    (picture,) = model.encode_pictures([model.prepare(encoded(noise(3)))])
    assert cosine(text, reference.text("red shoes")) > 0.999
    assert cosine(picture, reference.picture(noise(3))) > 0.999


def encoded(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("tower", "shortens"),
    [
        ({}, True),
        ({"custom": True}, True),
        ({"custom": True, "pool_type": "eos", "eos_id": 49407}, True),
        ({"no_causal_mask": True}, False),
        ({"custom": True, "pool_type": "last"}, False),
        ({"custom": True, "embed_cls": True}, False),
    ],
)
def test_padding_is_left_out_where_nothing_reads_it(
    tmp_path: Path, tower: dict[str, Any], shortens: bool
) -> None:
    folder = write_clip(tmp_path / "m", **tower)
    model = load_clip("c", ClipSpace(kind="open_clip", model=str(folder)), Registry([]))
    texts = ["red shoes", "a longer text by far", "x"]
    told = model.encode_texts([model.tokens(text) for text in texts])
    assert model.shortens is shortens
    reference = Reference(folder)
    assert min(cosine(a, reference.text(text)) for a, text in zip(told, texts, strict=True)) > (
        0.9999
    )


def test_the_starter_model_is_served_as_open_clip_computes_it() -> None:
    """Its tokenizer is one of transformers, with marks of its own."""
    model = load_clip(
        "clip",
        ClipSpace(kind="open_clip", model=starter.named("clip")),
        Registry([starter.STARTER]),
    )
    reference = Reference(starter.folder_of("clip"))
    texts = ["a red shoe", "红色的鞋子", "", "word " * 20]
    told = model.encode_texts([model.tokens(text) for text in texts])
    assert min(cosine(a, reference.text(text)) for a, text in zip(told, texts, strict=True)) > (
        0.9999
    )
    assert [model.count(text) for text in texts] == [
        int((reference.tokenizer([text]) != reference.tokenizer([""])[0, -1]).sum())
        for text in texts
    ]
    marks = reference.tokenizer.tokenizer.all_special_tokens
    for mark in marks:
        one, other = model.encode_texts([model.tokens(f"{mark} {pet}") for pet in ("cat", "dog")])
        assert cosine(one, other) < 0.99
    assert marks


def test_a_folder_is_named_by_its_weights(tmp_path: Path) -> None:
    folders = [write_clip(tmp_path / str(seed), seed=seed % 2) for seed in range(3)]
    revisions = [
        load_clip("c", ClipSpace(kind="open_clip", model=model), Registry([])).revision
        for model in (str(folders[0]), f"local-dir:{folders[1]}", str(folders[2]))
    ]
    assert revisions[0] == revisions[2] != revisions[1]
    assert all(revision.startswith("c@") and len(revision) == 14 for revision in revisions)


def test_a_checkpoint_that_was_changed_is_not_served(
    clip_only: Settings, store: StoreDouble, tmp_path: Path
) -> None:
    folder = write_checkpoint(tmp_path / "r")
    weights = folder / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    settings = clip_only.model_copy(update={"registry": [tmp_path / "r"]})
    with serving(settings, store, wait_ready=False) as client:

        def told() -> Any:
            return {c["name"]: c["detail"] for c in client.get("/readyz").json()["checks"]}

        wait_for(lambda: "hash" in (told()["space:clip"] or ""))
        reply = refused(client, "/v1/embed", space="clip", items=[{"content": [text_part("a")]}])
        spaces = client.get("/v1/spaces").json()["spaces"]
    assert reply.status_code == 503
    assert reply.headers["retry-after"]
    assert spaces == [
        {
            "name": "clip", "model": "", "kind": "open_clip", "dimensions": 0, "ready": False,
            "created": 0,
        }
    ]  # fmt: skip
