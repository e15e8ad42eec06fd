"""The reranker on a real engine gives the probabilities that transformers gives."""

import io
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from pydantic import SecretStr

from colloquy.contracts.content import ImagePart, Part, TextPart, Utterance
from colloquy.engine.client import EngineClient
from colloquy.media.blobs import BlobStore
from colloquy.profile import Task, VllmEngine
from colloquy.protocols import lamra
from colloquy.protocols.prompt import Prompt
from services.reranker.answers import read_answers
from services.reranker.settings import EngineBinding, Settings, Tuning
from tests import starter
from tests.integration.generator.stack import wait_for
from tests.integration.questions import png, request
from tests.integration.reference import Content, Reference
from tests.integration.reranker.stack import HOP, serving
from tests.live_engine import LiveEngine
from training.data.world import splits
from training.data.world.pictures import draw

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
BLOB_KEY = "blob-key-of-the-tests"
FAMILY: lamra.Family = "qwen2-vl"
RANK = starter.folder_of("rank")
QUERIES, FRAGMENTS = 6, 10
CLOSE = {"bfloat16": 0.01, "float32": 0.0001}
# Five steps of a bfloat16 logit between 8 and 16, for `Yes` and for `No`, as the states below are
# rounded, too: where both are about as probable, sums in another order move P(Yes) by a quarter of
# it. The mean over all prompts is held to `CLOSE`; in float32 every single one is.
STEPS = {"bfloat16": 2 * 5 * 0.0625, "float32": 0.0}


@dataclass(frozen=True)
class Asked:
    """A query of the world and fragments of its dialogues; pictures lie in the blob store."""

    query: list[Part]
    fragments: list[list[Utterance]]

    @property
    def candidates(self) -> list[list[Part]]:
        return [parts_of(lamra.fragment_content(turns)) for turns in self.fragments]

    @property
    def query_content(self) -> lamra.Content:
        text = "".join(part.text for part in self.query if isinstance(part, TextPart))
        pictures = [part for part in self.query if isinstance(part, ImagePart)]
        told = lamra.query_text(lamra.FRAGMENT_INSTRUCTION, text)
        return [*(lamra.Picture(part.image_url.url) for part in pictures), told]

    def body(self, mode: str) -> dict[str, Any]:
        return {
            "tenant": "acme",
            "query": [part.model_dump() for part in self.query],
            "candidates": [[part.model_dump() for part in parts] for parts in self.candidates],
            "mode": mode,
        }


@pytest.fixture
def blobs(tmp_path: Path) -> Iterator[BlobStore]:
    store = BlobStore(tmp_path / "blobs", BLOB_KEY.encode())
    yield store
    store.close()


@pytest.fixture(scope="module")
def checkpoint() -> Path | None:
    return RANK if RANK.exists() else None


@pytest.fixture(scope="module")
def reference(registry: Path, checkpoint: Path | None, engine_dtype: str) -> Reference:
    return Reference(registry / "base" / starter.VERSION, checkpoint, dtype=engine_dtype)


@pytest.fixture
def service(
    engine: LiveEngine, tmp_path: Path, blobs: BlobStore, checkpoint: Path | None
) -> Iterator[httpx.Client]:
    served = VllmEngine(
        runtime="vllm",
        model=engine.model,
        max_model_len=4_096,
        max_running=8,
        max_images=16,
        max_adapters=7,
        max_lora_rank=64,
    )
    settings = Settings(
        listen="127.0.0.1:0",
        task=Task(
            engine="e",
            protocol="lamra",
            family=FAMILY,
            checkpoint=starter.RANK if checkpoint else None,
        ),
        engine=EngineBinding(engine=served, address=engine.address),
        registry=[starter.STARTER],
        blobs=tmp_path / "blobs",
        blob_key=SecretStr(BLOB_KEY),
        hop_secret=SecretStr(HOP),
        tuning=Tuning(stuck_after_s=120.0),
    )
    with serving(settings, wait_ready=False) as client:
        client.timeout = 120
        wait_for(lambda: client.get("/readyz").status_code == 200, within_s=300)
        yield client


def questions(blobs: BlobStore) -> list[Asked]:
    """Held-out queries; every other one shows a picture too, and so do many fragments."""
    made = []
    for number in range(QUERIES):
        sample = splits.sample("test", number)
        rng = random.Random(number)
        turns = []
        for turn in sample.dialogue.turns:
            content: list[Part] = [TextPart(text=turn.text)] if turn.text else []
            if turn.picture is not None:
                content.append(ImagePart.of(stored(blobs, draw(turn.picture))))
            turns.append(Utterance(id=len(turns), speaker=turn.speaker, content=content))
        illustrated = [turn.id for turn in turns if turn.images] or [0]
        starts = [rng.choice(illustrated) for _ in range(FRAGMENTS // 2)]
        starts += [rng.randrange(len(turns) - 2) for _ in range(FRAGMENTS // 2)]
        shown = [url for turn in turns for url in turn.images]
        query: list[Part] = [TextPart(text=sample.queries[0].text)]
        if number % 2 and shown:
            query.insert(0, ImagePart.of(shown[0]))
        made.append(Asked(query, [turns[start : start + rng.randint(1, 5)] for start in starts]))
    return made


def stored(blobs: BlobStore, image: Image.Image) -> str:
    return blobs.put("acme", png(image), "image/png", *image.size).ref


def parts_of(content: lamra.Content) -> list[Part]:
    return [
        ImagePart.of(part.ref) if isinstance(part, lamra.Picture) else TextPart(text=part)
        for part in content
    ]


def shown(prompt: Prompt, blobs: BlobStore) -> Content:
    content: Content = []
    for text, ref in prompt.segments():
        content.append(text)
        if ref is not None:
            content.append(Image.open(io.BytesIO(blobs.get("acme", ref).data)))
    return content


def ask(service: httpx.Client, asked: Asked, mode: str) -> list[float]:
    reply = service.post("/v1/rerank", json=asked.body(mode))
    assert reply.status_code == 200, reply.text
    assert reply.json()["degraded"] == []
    scores: list[float] = reply.json()["scores"]
    return scores


async def test_p_yes_is_that_of_transformers(
    service: httpx.Client,
    blobs: BlobStore,
    client: EngineClient,
    reference: Reference,
    engine_dtype: str,
) -> None:
    yes, no = [(await client.token_ids(starter.BASE, word))[0] for word in ("Yes", "No")]
    told, expected, with_pictures = [], [], 0
    for asked in questions(blobs):
        told += ask(service, asked, "pointwise")
        for turns in asked.fragments:
            prompt = lamra.render_pointwise(
                asked.query_content, lamra.fragment_content(turns), FAMILY
            )
            with_pictures += bool(prompt.images)
            content = shown(prompt, blobs)
            expected.append(reference.first_token(prompt.system, content, [yes, no])[0])

    assert len(told) >= 40
    assert 20 <= with_pictures < len(told)
    assert max(expected) - min(expected) > 0.02, "the scores must differ to prove anything"
    apart = [abs(a - b) for a, b in zip(told, expected, strict=True)]
    assert sum(apart) / len(apart) <= CLOSE[engine_dtype]
    for difference, p in zip(apart, expected, strict=True):
        assert difference <= bound(p, engine_dtype)


async def test_probabilities_of_a_lists_numbers_are_those_of_transformers(
    service: httpx.Client,
    blobs: BlobStore,
    client: EngineClient,
    reference: Reference,
    engine_dtype: str,
) -> None:
    tokens = await read_answers(lambda text: client.token_ids(starter.BASE, text))
    assert tokens.most_listed == 10
    for asked in questions(blobs):
        told = ask(service, asked, "listwise")

        prompt = lamra.render_listwise(
            asked.query_content,
            [lamra.fragment_content(turns) for turns in asked.fragments],
            FAMILY,
        )
        content = shown(prompt, blobs)
        expected = reference.first_token(
            prompt.system, content, list(tokens.numbers), begun="Ans: ("
        )
        assert sum(told) == pytest.approx(1.0, abs=1e-9)
        for probability, p in zip(told, expected, strict=True):
            assert abs(probability - p) <= bound(p, engine_dtype)


def bound(p: float, dtype: str) -> float:
    return max(CLOSE[dtype], 1.05 * STEPS[dtype] * p * (1 - p))


async def test_the_beginning_of_an_answer_counts_as_its_tokens(
    client: EngineClient, reference: Reference
) -> None:
    asked = request(starter.BASE, "s", ["which one?"], max_tokens=1)
    begun = replace(asked, begun="Ans: (")

    assert await client.count_tokens(begun) == reference.count("s", ["which one?"], begun="Ans: (")
    assert await client.count_tokens(begun) == await client.count_tokens(asked) + len(
        await client.token_ids(starter.BASE, "Ans: (")
    )
