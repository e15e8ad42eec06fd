"""Search and split through a real gateway and a generator double."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from colloquy.contracts.generation import FragmentAnswer, Usage
from colloquy.servicekit.problems import Overloaded, Unavailable
from tests.doubles.gateway import (
    PAGE_TOKEN,
    RunningGateway,
    data_url,
    dialogue,
    image_part,
    png,
    running_gateway,
)

pytestmark = pytest.mark.integration
PHOTO = data_url(png())
TALK = dialogue("hello", "a cake!", [{"type": "text", "text": "my cake"}, image_part(PHOTO)], "bye")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running_gateway(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture
def gateway(shared: RunningGateway) -> RunningGateway:
    double = shared.generator
    double.failure, double.delay_s, double.answer, double.split_answer = None, 0.0, None, None
    double.ready, double.cancelled = True, 0
    double.asked.clear()
    double.deadlines_ms.clear()
    return shared


def test_gives_the_turns_and_pictures_that_answer_as_one_fragment(gateway: RunningGateway) -> None:
    talk = {**TALK, "id": "d-1"}

    reply = gateway.search(talk, "cake")

    assert reply.status_code == 200
    (fragment,) = reply.json()["fragments"]
    assert fragment["dialogue_id"] == "d-1"
    assert fragment["utterance_ids"] == [1, 2]
    assert fragment["image_ids"] == [0]
    assert fragment["scores"] == {"retrieval": None, "rerank": None, "final": None}
    assert [turn["id"] for turn in fragment["utterances"]] == [1, 2]


def test_says_which_model_answered_and_how_long_each_step_took(gateway: RunningGateway) -> None:
    body = gateway.search(TALK).json()

    assert body["models"] == {"fragment": "fragment@1"}
    assert body["degraded"] == []
    assert set(body["timings_ms"]) == {"media", "refine", "total"}
    assert body["timings_ms"]["total"] >= body["timings_ms"]["refine"] > 0


def test_gives_no_fragment_when_nothing_answers(gateway: RunningGateway) -> None:
    assert gateway.search(TALK, "whales").json()["fragments"] == []


def test_gives_back_the_callers_refs_speakers_and_times(gateway: RunningGateway) -> None:
    turn = {"speaker": "Ana", "content": "cake", "ref": "msg_9", "time": "2026-03-01T10:00:00Z"}

    (fragment,) = gateway.search({"utterances": [turn]}).json()["fragments"]

    assert fragment["utterances"] == [turn | {"id": 0}]


def test_shows_the_turn_of_a_picture_that_answers_alone(gateway: RunningGateway) -> None:
    (fragment,) = gateway.search(TALK, "picture 0").json()["fragments"]

    assert fragment["utterance_ids"] == []
    assert fragment["image_ids"] == [0]
    assert [turn["id"] for turn in fragment["utterances"]] == [2]


def test_a_picture_sent_as_data_comes_back_as_a_reference_that_works(
    gateway: RunningGateway,
) -> None:
    (fragment,) = gateway.search(TALK).json()["fragments"]

    ref = fragment["utterances"][1]["content"][1]["image_url"]["url"]
    assert ref.startswith("blob:")
    picture = gateway.http.get(f"/v1/images/{ref}")
    assert picture.status_code == 200
    assert picture.headers["content-type"] == "image/png"


def test_a_picture_sent_by_reference_comes_back_as_it_was_sent(gateway: RunningGateway) -> None:
    upload = gateway.http.post(
        "/v1/images",
        content=png((1, 2, 3)),
        headers={"content-type": "image/png", "authorization": f"Bearer {PAGE_TOKEN}"},
    )
    ref = upload.json()["ref"]

    (fragment,) = gateway.search(dialogue([image_part(ref)]), "picture 0").json()["fragments"]

    assert fragment["utterances"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": ref, "detail": "auto"}}
    ]


def test_past_the_gateway_there_are_references_only_and_nothing_the_model_does_not_need(
    gateway: RunningGateway,
) -> None:
    talk = {
        **dialogue([image_part(PHOTO)], "x"),
        "id": "secret-id",
        "metadata": {"shop": "kites"},
        "acl": ["team-a"],
    }

    gateway.search(talk)

    (task,) = gateway.generator.asked
    assert task.tenant == "local"
    assert all(url.startswith("blob:") for url in task.dialogue.images)
    assert (task.dialogue.id, task.dialogue.metadata, task.dialogue.acl) == (None, {}, [])


def test_equal_pictures_have_one_reference(gateway: RunningGateway) -> None:
    gateway.search(dialogue([image_part(PHOTO)], [image_part(PHOTO), image_part(PHOTO)]))

    (task,) = gateway.generator.asked
    assert len(task.dialogue.images) == 3
    assert len(set(task.dialogue.images)) == 1


def test_splits_a_dialogue_so_that_every_turn_and_picture_is_in_one_topic(
    gateway: RunningGateway,
) -> None:
    talk = dialogue(*["x"] * 5, [image_part(PHOTO)])

    reply = gateway.http.post("/v1/fragments/split", json={"dialogue": talk})

    assert reply.json()["fragments"] == [
        {"utterance_ids": [0, 1, 2, 3], "image_ids": []},
        {"utterance_ids": [4, 5], "image_ids": [0]},
    ]
    assert reply.json()["models"] == {"split": "split@1"}
    assert set(reply.json()["timings_ms"]) == {"media", "split", "total"}


@pytest.mark.parametrize("wrong", [[[0, 1]], [[0, 1, 2, 2]], [[0, 1, 2, 3, 4]]])
def test_a_split_that_is_no_partition_is_an_upstream_failure(
    gateway: RunningGateway, wrong: list[list[int]]
) -> None:
    gateway.generator.split_answer = wrong

    reply = gateway.http.post("/v1/fragments/split", json={"dialogue": TALK})

    assert reply.status_code == 502


@pytest.mark.parametrize(("turns", "images"), [([99], []), ([], [1]), ([-1], [])])
def test_an_answer_outside_the_dialogue_is_an_upstream_failure(
    gateway: RunningGateway, turns: list[int], images: list[int]
) -> None:
    gateway.generator.answer = FragmentAnswer(
        utterance_ids=turns, image_ids=images, model="fragment@1", usage=Usage()
    )

    assert gateway.search(TALK).status_code == 502


def test_there_is_no_collection_yet(gateway: RunningGateway) -> None:
    reply = gateway.http.post(
        "/v1/fragments/search", json={"query": "cake", "collection": "family"}
    )

    assert reply.status_code == 404
    assert reply.json()["type"] == "urn:colloquy:problem:collection-missing"


@pytest.mark.parametrize("query", [None, "cake"])
def test_a_picture_as_query_over_one_dialogue_is_refused_with_the_reason(
    gateway: RunningGateway, query: str | None
) -> None:
    body = {"query": query, "query_image": {"url": PHOTO}, "dialogue": TALK}

    reply = gateway.http.post("/v1/fragments/search", json=body)

    assert reply.status_code == 422
    assert reply.json()["type"] == "urn:colloquy:problem:unsupported"
    assert "F2RVLM" in reply.json()["detail"]


def test_a_search_in_a_dialogue_without_refining_is_refused(gateway: RunningGateway) -> None:
    reply = gateway.search(TALK, refine=False)

    assert (reply.status_code, reply.json()["type"]) == (422, "urn:colloquy:problem:unsupported")


@pytest.mark.parametrize(
    ("asked", "low", "high"),
    [(None, 55_000, 60_000), (5_000, 4_000, 5_000), (10**7, 250_000, 300_000)],
)
def test_the_deadline_travels_and_is_clamped(
    gateway: RunningGateway, asked: int | None, low: int, high: int
) -> None:
    gateway.search(dialogue("x"), timeout_ms=asked)

    assert low < gateway.generator.deadlines_ms[0] <= high


def test_the_deadline_ends_the_request(gateway: RunningGateway) -> None:
    gateway.generator.delay_s = 30
    started = time.monotonic()

    reply = gateway.search(dialogue("x"), timeout_ms=300)

    assert (reply.status_code, reply.json()["type"]) == (
        504,
        "urn:colloquy:problem:deadline-exceeded",
    )
    assert time.monotonic() - started < 3


def test_a_client_that_leaves_cancels_the_work_behind(gateway: RunningGateway) -> None:
    gateway.generator.delay_s = 30
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{gateway.url}/v1/fragments/search",
            json={"query": "x", "dialogue": dialogue("x")},
            timeout=0.5,
            trust_env=False,
        )

    give_up = time.monotonic() + 5
    while not gateway.generator.cancelled and time.monotonic() < give_up:
        time.sleep(0.02)
    assert gateway.generator.cancelled == 1


@pytest.mark.parametrize(
    ("failure", "slug"),
    [(Overloaded(retry_after_s=7), "overloaded"), (Unavailable(retry_after_s=9), "unavailable")],
)
def test_what_the_generator_cannot_do_now_is_a_503_with_its_retry_after(
    gateway: RunningGateway, failure: Overloaded | Unavailable, slug: str
) -> None:
    gateway.generator.failure = failure

    reply = gateway.search(TALK)

    assert reply.status_code == 503
    assert reply.json()["type"].endswith(slug)
    assert reply.headers["retry-after"] == str(failure.retry_after_s)


def test_without_a_generator_a_search_is_a_503_and_readiness_is_red(tmp_path: Path) -> None:
    with running_gateway(tmp_path, generator="unix:/nonexistent/x.sock") as gateway:
        reply = gateway.search(dialogue("x"))
        ready = gateway.http.get("/readyz")

    assert (reply.status_code, reply.headers["retry-after"]) == (503, "2")
    assert ready.status_code == 503
    named = {check["name"]: check["ready"] for check in ready.json()["checks"]}
    assert named == {"blobs": True, "decoders": True, "generator": False}


def test_readiness_shows_what_is_in_the_way_behind_the_gateway(gateway: RunningGateway) -> None:
    assert gateway.http.get("/readyz").json()["ready"] is True
    gateway.generator.ready = False

    reply = gateway.http.get("/readyz")

    assert (reply.status_code, reply.json()["ready"]) == (503, False)
    assert {
        "name": "engine double",
        "ready": False,
        "detail": "does not answer its probe",
    } in reply.json()["checks"]


def test_lists_the_models_in_the_form_of_openai(gateway: RunningGateway) -> None:
    body = gateway.http.get("/v1/models").json()

    assert body["object"] == "list"
    assert [model["id"] for model in body["data"]] == ["fragment@1", "split@1"]


def test_carries_the_callers_request_id(gateway: RunningGateway) -> None:
    reply = gateway.search(TALK, headers={"x-request-id": "mine-1"})

    assert reply.headers["x-request-id"] == reply.json()["request_id"] == "mine-1"


def test_headers_that_only_hops_may_send_are_dropped(gateway: RunningGateway) -> None:
    reply = gateway.search(
        dialogue("x"),
        headers={"x-colloquy-deadline-ms": "1", "x-colloquy-hop-secret": "guess"},
    )

    assert reply.status_code == 200
    assert gateway.generator.deadlines_ms[0] > 50_000


def test_more_than_a_tenant_may_have_under_way_is_429_and_the_place_comes_free_again(
    tmp_path: Path,
) -> None:
    with running_gateway(tmp_path, tenant={"max_running": 1}) as gateway:
        gateway.generator.delay_s = 1.0
        replies: list[httpx.Response] = []
        slow = threading.Thread(target=lambda: replies.append(gateway.search(dialogue("x"))))
        slow.start()
        while not gateway.generator.asked:
            time.sleep(0.01)
        refused = httpx.post(
            f"{gateway.url}/v1/fragments/search",
            json={"query": "x", "dialogue": dialogue("x")},
            trust_env=False,
        )
        slow.join()
        gateway.generator.delay_s = 0.0
        again = gateway.search(dialogue("x"))

    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert [replies[0].status_code, again.status_code] == [200, 200]


def test_faster_than_a_tenant_may_ask_is_429(tmp_path: Path) -> None:
    with running_gateway(tmp_path, tenant={"requests_per_s": 0.5, "burst": 2}) as gateway:
        statuses = [gateway.search(dialogue("x")).status_code for _ in range(3)]
        retry = gateway.search(dialogue("x")).headers["retry-after"]

    assert statuses == [200, 200, 429]
    assert retry == "2"
