"""Embedding with CLIP of ViT-B/32's shape: the service, a bare batched loop, and infinity_emb.

One request an item, at several concurrencies, on the same weights and the same number of threads.
The loop takes everything at once, in batches; it has no requests and no concurrency. All compute in
float32, and the service in bfloat16 as well, which a profile may ask for; infinity_emb has no other
than float32 for CLIP without a GPU.
"""

import asyncio
import base64
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from benchmarks.others import Infinity, infinity_server
from benchmarks.retriever_side import RetrieverSide, blobs_of, client_of, retriever
from colloquy.profile import Profile
from training.data.world import splits
from training.data.world.pictures import draw

CONCURRENCIES = (1, 16, 64)
ITEMS = 128
BATCH = 32
SIDE_PIXELS = 224
OURS, OURS_HALF = "Colloquy's retriever", "Colloquy's retriever, bfloat16"
LOOP, INFINITY = "a bare loop, batches of 32", "infinity_emb 0.0.78"
_SAME = 0.999

One = Callable[[Any], Awaitable[list[float]]]


@dataclass(frozen=True, slots=True)
class Sides:
    """Who is asked: our retriever, the same in bfloat16, infinity_emb, the bare loop."""

    ours: RetrieverSide
    half: RetrieverSide
    theirs: Infinity
    loop: "Loop"


async def measure(repeats: int, *, threads: int = 1) -> dict[str, Any]:
    """Items a second of each side, texts and pictures apart.

    Raises:
        OthersFailed, RetrieverFailed, ValueError: the sides do not compute the same vectors.
    """
    with tempfile.TemporaryDirectory(prefix="colloquy-bench-") as name:
        weights = Path(name)
        await asyncio.to_thread(_make_weights, weights)
        with (
            retriever(weights / "open_clip", threads=threads) as path,
            retriever(weights / "open_clip", threads=threads, dtype="bfloat16") as half_path,
            infinity_server(weights / "transformers", threads=threads) as address,
            _loop(weights / "open_clip", threads) as loop,
        ):
            profile, half_profile = Profile.load(path), Profile.load(half_path)
            async with (
                client_of(profile) as ours,
                client_of(half_profile) as half,
                httpx.AsyncClient(base_url=address, timeout=300.0, trust_env=False) as theirs,
            ):
                with blobs_of(profile) as blobs, blobs_of(half_profile) as half_blobs:
                    sides = Sides(
                        RetrieverSide(ours, blobs),
                        RetrieverSide(half, half_blobs),
                        Infinity(theirs),
                        loop,
                    )
                    return {
                        "threads": threads,
                        "items": ITEMS,
                        "repeats": repeats,
                        "texts": await _texts(sides, repeats),
                        "pictures": await _pictures(sides, repeats),
                    }


def _make_weights(folder: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.clip_weights", str(folder)]
    subprocess.run(command, check=True, capture_output=True)


async def _texts(sides: "Sides", repeats: int) -> Any:
    async def run(texts: Sequence[str]) -> dict[str, Any]:
        return {
            LOOP: (lambda: sides.loop.ask({"texts": list(texts)}), None, None),
            OURS: (None, sides.ours.embed_text, texts),
            OURS_HALF: (None, sides.half.embed_text, texts),
            INFINITY: (None, sides.theirs.embed_text, texts),
        }

    return await _compare(run, texts_of, repeats)


async def _pictures(sides: "Sides", repeats: int) -> Any:
    async def run(pngs: Sequence[bytes]) -> dict[str, Any]:
        refs = sides.ours.keep(pngs, SIDE_PIXELS)
        half_refs = sides.half.keep(pngs, SIDE_PIXELS)
        given = [base64.b64encode(png).decode() for png in pngs]
        return {
            LOOP: (lambda: sides.loop.ask({"pngs": given}), None, None),
            OURS: (None, sides.ours.embed_picture, refs),
            OURS_HALF: (None, sides.half.embed_picture, half_refs),
            INFINITY: (None, sides.theirs.embed_picture, pngs),
        }

    return await _compare(run, pictures_of, repeats)


async def _compare(prepare: Any, items_of: Callable[[int], Sequence[Any]], repeats: int) -> Any:
    """Rounds in turn, each on items that no side has seen; medians of items a second."""
    rates: dict[str, dict[int, list[float]]] = {}
    ways = await prepare(items_of(0)[:8])
    await _once(ways, 8, check=True)
    for repeat in range(repeats):
        for number, concurrency in enumerate(CONCURRENCIES):
            seed = 1 + repeat * len(CONCURRENCIES) + number
            ways = await prepare(items_of(seed))
            order = list(ways)
            turn = (repeat + number) % len(order)
            ways = {name: ways[name] for name in order[turn:] + order[:turn]}
            for name, seconds in (await _once(ways, concurrency)).items():
                rates.setdefault(name, {}).setdefault(concurrency, []).append(ITEMS / seconds)
    return {
        name: {
            str(concurrency): {
                "items_per_s": round(statistics.median(found), 1),
                "lowest": round(min(found), 1),
                "highest": round(max(found), 1),
            }
            for concurrency, found in by.items()
        }
        for name, by in rates.items()
    }


async def _once(ways: dict[str, Any], concurrency: int, *, check: bool = False) -> dict[str, float]:
    found, firsts = {}, {}
    for name, (whole, one, items) in ways.items():
        if whole is not None:
            answer = await asyncio.to_thread(whole)
            found[name], firsts[name] = answer["seconds"], answer["first"]
        else:
            found[name], firsts[name] = await _at(concurrency, one, items)
    if check:
        reference = np.array(firsts[LOOP])
        for name, first in firsts.items():
            cosine = float(reference @ np.array(first) / np.linalg.norm(first))
            if cosine < _SAME:
                raise ValueError(f"{name} computes other vectors: cosine {cosine:.4f}")
    return found


async def _at(concurrency: int, one: One, items: Sequence[Any]) -> tuple[float, list[float]]:
    places = asyncio.Semaphore(concurrency)

    async def placed(item: Any) -> list[float]:
        async with places:
            return await one(item)

    start = time.perf_counter()
    vectors = await asyncio.gather(*(placed(item) for item in items))
    return time.perf_counter() - start, vectors[0]


class Loop:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._read()

    def ask(self, what: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@contextmanager
def _loop(weights: Path, threads: int) -> Iterator[Loop]:
    command = [sys.executable, "-m", "benchmarks.clip_worker", "--weights", str(weights)]
    command += ["--threads", str(threads), "--batch", str(BATCH)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield Loop(process)
        finally:
            process.terminate()


def texts_of(seed: int) -> list[str]:
    """Distinct lines of talk, a few turns each; English, which both tokenizers cut alike."""
    texts: list[str] = []
    number = seed * 1_000
    while len(texts) < ITEMS:
        turns = [turn.text for turn in splits.sample("train", number).dialogue.turns]
        turns = [text for text in turns if text and text.isascii()]
        texts += [". ".join(turns[at : at + 2]) for at in range(0, len(turns) - 1, 2)]
        number += 1
    return [f"{text} ({place})" for place, text in enumerate(texts[:ITEMS])]


def pictures_of(seed: int) -> list[bytes]:
    """Distinct pictures as PNG, at the size that the model takes."""
    pictures: list[bytes] = []
    number = seed * 1_000
    while len(pictures) < ITEMS:
        for spec in splits.sample("train", number).dialogue.pictures:
            whole = Image.fromarray(np.asarray(draw(spec)))
            resized = whole.resize((SIDE_PIXELS, SIDE_PIXELS), Image.Resampling.BICUBIC)
            data = io.BytesIO()
            resized.save(data, "PNG")
            pictures.append(data.getvalue())
        number += 1
    return pictures[:ITEMS]
