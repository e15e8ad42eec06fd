import io
import itertools
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from PIL import Image

from colloquy.media.blobs import BlobStore
from colloquy.protocols import f2rvlm
from services.generator.settings import Settings
from tests.doubles.engine import EngineDouble
from tests.doubles.engine_parts import Body
from tests.integration.generator.stack import dialogue, serving, wait_for

pytestmark = pytest.mark.integration
Engine = tuple[str, EngineDouble]


def user_text(body: Body) -> str:
    return "".join(part.get("text", "") for part in body["messages"][1]["content"])


def ids_in(body: Body) -> list[int]:
    return [int(i) for i in re.findall(r"<\|utt_id_start\|>(\d+)<", user_text(body))]


def fragment(client: httpx.Client, count: int, query: str = "q", **more: Any) -> httpx.Response:
    body = {"tenant": "acme", "dialogue": dialogue(count, **more), "query": query}
    return client.post("/v1/fragment", json=body)


def split(client: httpx.Client, count: int) -> httpx.Response:
    return client.post("/v1/split", json={"tenant": "acme", "dialogue": dialogue(count)})


def stored(blobs: BlobStore, tenant: str = "acme") -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 0, 0)).save(buffer, "PNG")
    return blobs.put(tenant, buffer.getvalue(), "image/png", 40, 30).ref


def says(utterances: Callable[[list[int]], list[int]], images: list[int]) -> Callable[[Body], str]:
    return lambda body: f2rvlm.format_answer(utterances(ids_in(body)), images)


def test_finds_utterances_and_pictures(
    settings: Settings, engine: Engine, blobs: BlobStore
) -> None:
    engine[1].answers = says(lambda ids: [2, 3], [1])
    with serving(settings) as client:
        answer = fragment(client, 10, image=stored(blobs)).json()

    assert (answer["utterance_ids"], answer["image_ids"]) == ([2, 3], [1])
    assert (answer["model"], answer["degraded"]) == ("fragment@1", [])
    assert answer["usage"] == {
        "model_calls": 1, "prompt_tokens": 100, "cached_tokens": 64, "output_tokens": 7,
    }  # fmt: skip


def test_asks_the_adapter_under_a_grammar_of_the_ids_that_exist(
    settings: Settings, engine: Engine
) -> None:
    engine[1].answers = says(lambda ids: [], [])
    with serving(settings) as client:
        fragment(client, 3)

    asked = engine[1].asked[-1]
    assert asked["model"] == "fragment@1"
    assert asked["structured_outputs"]["grammar"] == f2rvlm.fragment_grammar([0, 1, 2], 0)
    assert asked["temperature"] == 0


def test_a_long_dialogue_is_asked_in_slices_that_overlap(
    settings: Settings, engine: Engine
) -> None:
    engine[1].answers = says(lambda ids: ids[:1], [])
    with serving(settings) as client:
        answer = fragment(client, 250).json()

    slices = sorted(ids_in(body) for body in engine[1].asked)
    assert [i for part in slices for i in part] != list(range(250))
    assert {i for part in slices for i in part} == set(range(250))
    assert all(len(part) <= 100 for part in slices)
    assert all(b[0] < a[-1] for a, b in itertools.pairwise(slices))
    assert answer["utterance_ids"] == [part[0] for part in slices]
    assert answer["usage"]["model_calls"] == len(slices)


def test_pictures_of_a_slice_come_back_with_the_dialogues_own_numbers(
    settings: Settings, engine: Engine, blobs: BlobStore
) -> None:
    engine[1].answers = says(lambda ids: [], [0])
    with serving(settings) as client:
        answer = fragment(client, 150, image=stored(blobs), every=10).json()

    slices = sorted(ids_in(body) for body in engine[1].asked)
    assert answer["image_ids"] == [
        next(k for k in range(15) if 10 * k + 9 in part) for part in slices
    ]


def test_an_utterance_beyond_the_context_is_trimmed_openly(
    settings: Settings, engine: Engine
) -> None:
    engine[1].answers = says(lambda ids: [], [])
    body = {"tenant": "acme", "dialogue": dialogue(3), "query": "q"}
    body["dialogue"]["utterances"][1]["content"] = "word " * 19_000  # type: ignore[index]
    with serving(settings) as client:
        answer = client.post("/v1/fragment", json=body).json()

    assert answer["degraded"] == ["utterance-trimmed"]


def test_splits_a_dialogue(settings: Settings, engine: Engine) -> None:
    engine[1].answers = lambda body: f2rvlm.format_split([ids_in(body)[:2], ids_in(body)[2:]])
    with serving(settings) as client:
        answer = split(client, 6).json()

    assert answer["fragments"] == [[0, 1], [2, 3, 4, 5]]
    assert answer["model"] == "split@1"


def test_splits_a_long_dialogue_as_if_it_were_seen_whole(
    settings: Settings, engine: Engine
) -> None:
    def topics(body: Body) -> str:
        groups: dict[int, list[int]] = {}
        for i in ids_in(body):
            groups.setdefault(i // 7, []).append(i)
        return f2rvlm.format_split(list(groups.values()))

    engine[1].answers = topics
    with serving(settings) as client:
        answer = split(client, 333).json()

    starts = range(0, 333, 7)
    assert answer["fragments"] == [list(range(s, min(333, s + 7))) for s in starts]


@pytest.mark.parametrize("route", ["/v1/fragment", "/v1/split"])
def test_an_answer_that_was_cut_is_an_error_and_never_a_wrong_answer(
    settings: Settings, engine: Engine, route: str
) -> None:
    engine[1].finish_reason = "length"
    engine[1].answers = lambda _: "<|utt_ids_start|>[1, 2"
    with serving(settings) as client:
        body = {"tenant": "acme", "dialogue": dialogue(3)}
        reply = client.post(route, json=body | ({"query": "q"} if "frag" in route else {}))

    assert reply.status_code == 502
    assert reply.json()["type"].endswith("upstream-malformed")


def test_a_foreign_model_is_read_tolerantly(foreign: Settings, engine: Engine) -> None:
    engine[1].answers = lambda _: (
        "Sure!\n<|utt_ids_start|>[1, 2, 77, 2]<|utt_ids_end|> and "
        "<|img_ids_start|>[5]<|img_ids_end|>."
    )
    with serving(foreign) as client:
        answer = fragment(client, 4).json()

    assert (answer["utterance_ids"], answer["image_ids"]) == ([1, 2], [])
    assert answer["degraded"] == ["unknown-ids-dropped"]
    assert "structured_outputs" not in engine[1].asked[-1]


def test_a_foreign_models_split_is_found_in_its_prose(foreign: Settings, engine: Engine) -> None:
    engine[1].answers = lambda _: "The topics:\n```json\n[[0, 1], [2, 3]]\n```"
    with serving(foreign) as client:
        assert split(client, 4).json()["fragments"] == [[0, 1], [2, 3]]


def test_the_last_turns_that_a_split_leaves_out_belong_to_its_last_topic(
    foreign: Settings, engine: Engine
) -> None:
    engine[1].answers = lambda _: "[[0, 1], [2, 3]]"
    with serving(foreign) as client:
        assert split(client, 6).json()["fragments"] == [[0, 1], [2, 3, 4, 5]]
        assert split(client, 8).status_code == 502


@pytest.mark.parametrize("text", ["[[1, 2, 3]]", "[[0, 1], [1, 2, 3]]", "no idea", "", "[[0,1,2,3"])
def test_a_foreign_models_split_that_is_none_is_a_problem(
    foreign: Settings, engine: Engine, text: str
) -> None:
    engine[1].answers = lambda _: text
    with serving(foreign) as client:
        reply = split(client, 4)

    assert reply.status_code == 502
    assert reply.json()["type"].endswith("upstream-malformed")


def test_a_foreign_model_that_says_nothing_has_not_found_nothing(
    foreign: Settings, engine: Engine
) -> None:
    engine[1].answers = lambda _: "I cannot help with that."
    with serving(foreign) as client:
        assert fragment(client, 4).status_code == 502


def test_a_foreign_tenants_picture_is_missing(
    settings: Settings, engine: Engine, blobs: BlobStore
) -> None:
    with serving(settings) as client:
        reply = fragment(client, 10, image=stored(blobs, tenant="globex"))

    assert reply.status_code == 404
    assert not engine[1].asked


@pytest.mark.parametrize("url", ["https://example.com/x.png", "file:///etc/passwd", "data:,x"])
def test_no_url_is_followed_behind_the_gateway(settings: Settings, url: str) -> None:
    with serving(settings) as client:
        assert fragment(client, 10, image=url).status_code == 404


def test_says_which_version_does_each_task(settings: Settings) -> None:
    with serving(settings) as client:
        tasks = client.get("/v1/tasks").json()["tasks"]

    assert [(task["task"], task["model"]) for task in tasks] == [
        ("fragment", "fragment@1"),
        ("split", "split@1"),
    ]


def test_without_the_hop_secret_nobody_is_answered(settings: Settings) -> None:
    with serving(settings) as client:
        reply = client.get("/v1/tasks", headers={"x-colloquy-hop-secret": "wrong"})

    assert reply.status_code == 403


def test_too_many_at_once_are_refused_and_told_when_to_come_back(
    settings: Settings, engine: Engine
) -> None:
    engine[1].answers = says(lambda ids: [], [])
    patient = settings.tuning.model_copy(update={"stuck_after_s": 60.0})
    with (
        serving(settings.model_copy(update={"tuning": patient})) as client,
        ThreadPoolExecutor(20) as pool,
    ):
        engine[1].hold.set()
        calls = [pool.submit(fragment, client, 3) for _ in range(14)]
        wait_for(lambda: sum(call.done() for call in calls) >= 3)
        engine[1].hold.clear()
        replies = [call.result() for call in calls]

    statuses = sorted(reply.status_code for reply in replies)
    assert statuses == [200] * 11 + [503] * 3  # 3 run, 8 wait
    refused = next(reply for reply in replies if reply.status_code == 503)
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["type"].endswith("overloaded")


def test_the_deadline_of_the_request_ends_the_engine_call(
    settings: Settings, engine: Engine
) -> None:
    patient = settings.tuning.model_copy(update={"stuck_after_s": 60.0})
    with serving(settings.model_copy(update={"tuning": patient})) as client:
        engine[1].hold.set()
        started = time.monotonic()
        reply = client.post(
            "/v1/fragment",
            json={"tenant": "acme", "dialogue": dialogue(3), "query": "q"},
            headers={"x-colloquy-deadline-ms": "300"},
        )
        took_s = time.monotonic() - started
        wait_for(lambda: engine[1].cancelled >= 1)
        engine[1].hold.clear()
        wasted = client.get("/metrics").text

    assert reply.status_code == 504
    assert took_s < 3
    assert 'generator_wasted_calls_total{task="fragment"} 1.0' in wasted


def test_a_client_that_leaves_ends_the_engine_call(settings: Settings, engine: Engine) -> None:
    patient = settings.tuning.model_copy(update={"stuck_after_s": 60.0})
    with serving(settings.model_copy(update={"tuning": patient})) as client:
        engine[1].hold.set()

        def leave() -> None:
            with pytest.raises(httpx.ReadTimeout):
                client.post(
                    "/v1/fragment",
                    json={"tenant": "acme", "dialogue": dialogue(3), "query": "q"},
                    timeout=0.3,
                )

        leaver = threading.Thread(target=leave)
        leaver.start()
        wait_for(lambda: engine[1].cancelled >= 1)
        leaver.join()
        engine[1].hold.clear()
