"""The space of the task `embed`, over a double of the pooling engine."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from colloquy.media.blobs import BlobStore
from colloquy.protocols import lamra
from services.retriever.settings import Settings
from tests.doubles.pooling_engine import PoolingEngineDouble, hashed, user_text
from tests.doubles.vector_store import StoreDouble
from tests.integration.retriever.stack import (
    asked,
    fragment,
    open_collection,
    painted,
    picture_part,
    refused,
    serving,
    stored,
    text_part,
    upsert,
    wait_for,
)
from tests.unit.registry.checkpoints import CREATED

pytestmark = pytest.mark.integration
Engine = tuple[str, PoolingEngineDouble]
END = "\nSummarize above sentence in one word: "


def embedded(client: httpx.Client, *contents: list[Any], **more: Any) -> Any:
    items = [{"content": content} | more for content in contents]
    return asked(client, "/v1/embed", space="lamra", items=items)


def question(text: str) -> str:
    return f"{text}{END}"


def test_a_document_is_asked_for_in_the_published_words(
    both: Settings, store: StoreDouble, engine: Engine
) -> None:
    with serving(both, store) as client:
        answer = embedded(client, [text_part("red shoes")])
    (body,) = engine[1].asked
    assert user_text(body) == question("Red shoes.")
    assert body["messages"][0] == {"role": "system", "content": lamra.SYSTEM}
    assert body["model"] == "embed@1"
    assert body["add_generation_prompt"] is True
    assert answer["vectors"][0] == pytest.approx(hashed(question("Red shoes.")), abs=1e-6)
    assert answer["model"] == "embed@1"
    assert answer["tokens"] == len(question("Red shoes."))


def test_a_query_has_the_instruction_before_it(
    both: Settings, store: StoreDouble, engine: Engine
) -> None:
    with serving(both, store) as client:
        embedded(client, [text_part("red shoes")], role="query")
    (body,) = engine[1].asked
    assert user_text(body) == question(f"{lamra.FRAGMENT_INSTRUCTION} red shoes.")


def test_a_fragment_is_written_as_it_was_taught(
    both: Settings, store: StoreDouble, engine: Engine, blobs: BlobStore
) -> None:
    ref = stored(blobs, painted((9, 9, 9)))
    with serving(both, store) as client:
        open_collection(client, "lamra")
        engine[1].asked.clear()
        answer = upsert(client, fragment(1, "hello <image>", [picture_part(ref)], "bye"))
    (body,) = engine[1].asked
    assert answer["models"] == {"lamra": "embed@1"}
    shown = user_text(body)
    assert shown.count("<image>") == 1, "a user's text is no picture"
    assert shown.index("Ann: hello") < shown.index("<image>") < shown.index("bye")
    assert shown.endswith("Summarize above image and sentence in one word: ")


def test_what_is_too_long_is_the_mean_of_its_turns_and_nothing_is_cut(
    both: Settings, store: StoreDouble, engine: Engine
) -> None:
    turns = [f"turn {number} " + "word " * 100 for number in range(8)]
    with serving(both, store) as client:
        open_collection(client, "lamra")
        engine[1].asked.clear()
        upsert(client, fragment(1, *turns))
        (point,) = store.points("acme", "c")
    texts = [user_text(body) for body in engine[1].asked]
    assert len(texts) > 1
    assert all(len(text) <= 2_000 for text in texts)
    shown = sorted(number for text in texts for number in range(8) if f"turn {number} word" in text)
    assert shown == list(range(8)), "each turn is in one part"
    mean = np.mean([hashed(text) for text in texts], axis=0)
    assert point.vectors["lamra"] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)


def test_a_single_turn_that_is_too_long_is_cut_between_words(
    both: Settings, store: StoreDouble, engine: Engine
) -> None:
    words = [f"w{number}" for number in range(1_500)]
    with serving(both, store) as client:
        answer = embedded(client, [text_part(" ".join(words))])
    assert len(engine[1].asked) > 2
    shown = [
        word.rstrip(".").lower()
        for body in engine[1].asked
        for word in user_text(body).removesuffix(END).split()
    ]
    assert sorted(shown) == sorted(words)
    assert np.linalg.norm(answer["vectors"][0]) == pytest.approx(1.0, abs=1e-5)


def test_more_pictures_than_the_engine_takes_are_shown_in_parts(
    both: Settings, store: StoreDouble, engine: Engine, blobs: BlobStore
) -> None:
    refs = [stored(blobs, painted((10 * number, 0, 0))) for number in range(6)]
    with serving(both, store) as client:
        embedded(client, [picture_part(ref) for ref in refs])
    assert sorted(user_text(body).count("<image>") for body in engine[1].asked) == [3, 3]


def test_a_server_that_cannot_count_is_asked_and_what_it_refuses_is_halved(
    both: Settings, store: StoreDouble, engine: Engine
) -> None:
    binding = both.engines["e"]
    blind = binding.engine.capabilities.model_copy(update={"tokenize": False})
    server = binding.engine.model_copy(update={"capabilities": blind})
    engine[1].context_tokens = 500
    settings = both.model_copy(
        update={"engines": {"e": binding.model_copy(update={"engine": server})}}
    )
    with serving(settings, store) as client:
        embedded(client, [text_part("word " * 190)])
    assert len(engine[1].asked) > 1
    assert sum(user_text(body).count("ord") for body in engine[1].asked) == 190 + len(
        engine[1].asked
    ), "each part's own question has the word too"


def test_many_documents_leave_places_in_the_engine_and_none_is_refused(
    both: Settings, store: StoreDouble, engine: Engine
) -> None:
    with serving(both, store) as client, ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(
                lambda part: embedded(
                    client, *([text_part(f"text {part} {number}")] for number in range(60))
                ),
                range(4),
            )
        )
    assert [len(answer["vectors"]) for answer in answers] == [60] * 4
    assert len(engine[1].asked) == 240
    assert engine[1].most_running <= 6


def test_an_item_that_cannot_be_embedded_does_not_stop_the_others(
    both: Settings, store: StoreDouble
) -> None:
    with serving(both, store) as client:
        open_collection(client, "clip", "lamra")
        answer = upsert(client, fragment(1, "fine"), fragment(2, [picture_part("blob:none")]))
        reply = refused(
            client,
            "/v1/embed",
            space="lamra",
            items=[{"content": [text_part("a")]}, {"content": [picture_part("blob:none")]}],
        )
    assert answer["stored"] == 1
    assert len(answer["faults"]) == 1
    assert reply.status_code == 404
    assert reply.json()["faults"][0]["at"] == "body/items/1/content"


def test_a_poisoned_engine_stores_nothing(
    both: Settings, store: StoreDouble, engine: Engine
) -> None:
    with serving(both, store) as client:
        open_collection(client, "lamra")
        engine[1].vector = lambda text: [0.0] * 16 if text != "1" else hashed(text)
        reply = refused(
            client, "/v1/fragments/upsert", collection="c", fragments=[fragment(1, "a")]
        )
        counted = asked(client, "/v1/fragments/count", collection="c")
    assert reply.status_code == 502
    assert counted == {"count": 0}


def test_spaces_say_what_they_are_and_follow_their_engine(
    both: Settings, store: StoreDouble, engine: Engine
) -> None:
    with serving(both, store) as client:

        def lamra_space() -> Any:
            return client.get("/v1/spaces").json()["spaces"][1]

        up = lamra_space()
        engine[1].fails = (500, "EngineCore encountered an issue.")
        wait_for(lambda: client.get("/readyz").status_code == 503)
        down = lamra_space()
        engine[1].fails = None
        wait_for(lambda: client.get("/readyz").status_code == 200)
        assert lamra_space() == up
    assert up == {
        "name": "lamra", "model": "embed@1", "kind": "task", "dimensions": 16, "ready": True,
        "created": CREATED.timestamp(),
    }  # fmt: skip
    assert down == up | {"ready": False}


def test_an_adapter_that_is_broken_never_embeds(
    both: Settings, store: StoreDouble, engine: Engine, tmp_path: Path
) -> None:
    config = tmp_path / "registry" / "embed" / "1" / "adapter_config.json"
    config.write_text(config.read_text().replace("LORA", "LOKR"))
    with serving(both, store, wait_ready=False) as client:

        def problems() -> dict[str, str | None]:
            checks = client.get("/readyz").json()["checks"]
            return {check["name"]: check["detail"] for check in checks if not check["ready"]}

        wait_for(lambda: "hash" in (problems().get("task:embed") or ""))
        reply = refused(client, "/v1/embed", space="lamra", items=[{"content": [text_part("a")]}])
        wait_for(lambda: problems().keys() == {"task:embed", "space:lamra"})
    assert reply.status_code == 503
    assert engine[1].asked == []
    assert engine[1].adapters == {}
