"""The API on the whole stack: a real engine, real adapters."""

from collections.abc import Iterator

import httpx
import pytest

from tests.doubles.gateway import data_url, dialogue, image_part, png
from tests.e2e.local_stack import LocalStack

pytestmark = pytest.mark.e2e
TALK = dialogue(
    "hello", "look", [image_part(data_url(png()))], "lovely", "what about dinner?", "ok"
)


@pytest.fixture(scope="module")
def http(stack: LocalStack) -> Iterator[httpx.Client]:
    with stack.client() as client:
        yield client


def test_every_part_is_ready_and_named(http: httpx.Client) -> None:
    reply = http.get("/readyz")

    assert reply.status_code == 200
    names = {check["name"] for check in reply.json()["checks"]}
    services = {"generator", "retriever", "reranker", "indexer"}
    assert {"blobs", "decoders", "space:clip", "space:lamra", *services} < names


def test_the_models_are_the_tasks_and_spaces_and_their_versions(http: httpx.Client) -> None:
    listed = http.get("/v1/models").json()["data"]
    models = [model["id"] for model in listed]

    wanted = {"fragment", "split", "embed", "rank", "clip"}
    assert {model.partition("@")[0] for model in models} == wanted
    assert len(models) == len(set(models))
    assert all("@" in model for model in models)
    assert all(model["created"] > 0 for model in listed)


def test_a_search_names_turns_and_pictures_of_this_dialogue_only(http: httpx.Client) -> None:
    reply = http.post("/v1/fragments/search", json={"query": "the picture", "dialogue": TALK})

    assert reply.status_code == 200
    body = reply.json()
    assert body["models"]["fragment"].startswith("fragment@")
    assert len(body["fragments"]) <= 1
    for fragment in body["fragments"]:
        assert set(fragment["utterance_ids"]) <= set(range(6))
        assert set(fragment["image_ids"]) <= {0}


def test_a_split_gives_every_turn_to_one_topic(http: httpx.Client) -> None:
    reply = http.post("/v1/fragments/split", json={"dialogue": TALK})

    assert reply.status_code == 200
    topics = reply.json()["fragments"]
    assert sorted(i for topic in topics for i in topic["utterance_ids"]) == list(range(6))
    assert [i for topic in topics for i in topic["image_ids"]] == [0]


def test_the_same_question_gets_the_same_answer(http: httpx.Client) -> None:
    body = {"query": "dinner", "dialogue": TALK}

    answers = [http.post("/v1/fragments/search", json=body).json()["fragments"] for _ in range(2)]

    assert answers[0] == answers[1]


def test_the_sample_dialogues_are_served_and_searched(http: httpx.Client) -> None:
    samples = http.get("/samples/dialogues.json").json()

    assert samples
    for sample in samples:
        query = sample["queries"][0]["query"]
        body = {"query": query, "dialogue": sample["dialogue"]}
        assert http.post("/v1/fragments/search", json=body).status_code == 200


def test_the_page_and_the_manual_are_served(http: httpx.Client) -> None:
    assert "Colloquy" in http.get("/").text
    assert "/v1/fragments/search" in http.get("/docs").text
    assert "server" not in http.get("/").headers
