"""A collection on the whole stack: real models, a real store, a real ledger."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.local_stack import ROOT, LocalStack

pytestmark = pytest.mark.e2e
CORPUS = ROOT / "starter" / "samples" / "corpus" / "dialogues.ndjson"
COLLECTION = "stack"
DIALOGUES = 12


@pytest.fixture(scope="module")
def sent() -> list[dict[str, Any]]:
    with CORPUS.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in islice(lines, DIALOGUES)]


@pytest.fixture(scope="module")
def http(
    stack: LocalStack, sent: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A client of the stack, with the first sample dialogues in a collection."""
    path: Path = tmp_path_factory.mktemp("corpus") / "dialogues.ndjson"
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in sent))
    indexed = stack.run("index", str(path), "--collection", COLLECTION)
    assert indexed.returncode == 0, indexed.stdout + indexed.stderr
    with stack.client() as client:
        yield client


def search(http: httpx.Client, **more: Any) -> dict[str, Any]:
    body = {"query": "tell me about the train", "collection": COLLECTION} | more
    reply = http.post("/v1/fragments/search", json=body)
    assert reply.status_code == httpx.codes.OK, reply.text
    found: dict[str, Any] = reply.json()
    return found


def test_everything_is_searchable_and_nothing_is_cut_twice(
    http: httpx.Client, sent: list[dict[str, Any]]
) -> None:
    found = http.get(f"/v1/collections/{COLLECTION}").json()
    assert (found["dialogues"], found["pending"]) == (DIALOGUES, 0)
    fragments = 0
    for dialogue in sent:
        reply = http.get(f"/v1/collections/{COLLECTION}/dialogues/{dialogue['id']}").json()
        ids = [i for fragment in reply["fragments"] for i in fragment]
        assert sorted(ids) == list(range(len(dialogue["utterances"])))
        fragments += len(reply["fragments"])
    assert found["fragments"] == fragments


@pytest.mark.parametrize("rerank", ["none", "pointwise", "listwise"])
def test_a_fragment_comes_with_its_own_turns_and_scores(
    http: httpx.Client, sent: list[dict[str, Any]], rerank: str
) -> None:
    answer = search(http, rerank=rerank, refine=False, top_k=5, merge=False)
    assert answer["degraded"] == []
    assert len(answer["fragments"]) == 5
    dialogues = {dialogue["id"]: dialogue for dialogue in sent}
    for fragment in answer["fragments"]:
        turns = dialogues[fragment["dialogue_id"]]["utterances"]
        assert [turn["id"] for turn in fragment["utterances"]] == fragment["utterance_ids"]
        for turn in fragment["utterances"]:
            assert turn["speaker"] == turns[turn["id"]]["speaker"]
        scores = fragment["scores"]
        assert -1.0 <= scores["retrieval"] <= 1.0
        if rerank == "pointwise":
            assert scores["final"] > scores["rerank"] / 61
    finals = [fragment["scores"]["final"] for fragment in answer["fragments"]]
    assert finals == sorted(finals, reverse=True)
    assert ("rank" in answer["models"]) == (rerank != "none")


def test_refining_names_turns_of_the_candidate_alone(http: httpx.Client) -> None:
    whole = {
        tuple(fragment["utterance_ids"])
        for fragment in search(http, refine=False, top_k=100, merge=False)["fragments"]
    }
    answer = search(http, refine=True)
    assert answer["models"]["fragment"].startswith("fragment@")
    for fragment in answer["fragments"]:
        assert fragment["utterance_ids"] or fragment["image_ids"]
        ids = set(fragment["utterance_ids"])
        assert ids <= {i for candidate in whole for i in candidate}


def test_a_picture_alone_finds_the_dialogue_that_shows_it(
    http: httpx.Client, sent: list[dict[str, Any]]
) -> None:
    shown = [
        (dialogue["id"], part["image_url"])
        for dialogue in sent
        for turn in dialogue["utterances"]
        if not isinstance(turn["content"], str)
        for part in turn["content"]
        if part["type"] == "image_url"
    ]
    dialogue_id, image = shown[0]
    answer = search(http, query=None, query_image=image, rerank="none", refine=False, top_k=10)
    assert dialogue_id in [fragment["dialogue_id"] for fragment in answer["fragments"]]


def test_filters_hold(http: httpx.Client, sent: list[dict[str, Any]]) -> None:
    for language in ("en", "zh"):
        wanted = {d["id"] for d in sent if d["metadata"]["language"] == language}
        answer = search(
            http, filter={"metadata": {"language": [language]}}, refine=False, top_k=100
        )
        assert {fragment["dialogue_id"] for fragment in answer["fragments"]} == wanted


def test_vectors_of_both_spaces_are_of_length_one(http: httpx.Client) -> None:
    for space in ("clip", "lamra"):
        reply = http.post("/v1/embeddings", json={"model": space, "input": ["a kite", "火车"]})
        assert reply.status_code == httpx.codes.OK, reply.text
        for item in reply.json()["data"]:
            assert sum(x * x for x in item["embedding"]) == pytest.approx(1.0, abs=1e-3)


def test_rerank_orders_documents_by_their_scores(http: httpx.Client) -> None:
    documents = ["the train was late again", "my soup needs salt", "we took the express"]
    reply = http.post("/v1/rerank", json={"query": "travelling by rail", "documents": documents})
    assert reply.status_code == httpx.codes.OK, reply.text
    results = reply.json()["results"]
    assert sorted(result["index"] for result in results) == [0, 1, 2]
    scores = [result["relevance_score"] for result in results]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_a_second_indexing_changes_nothing(
    stack: LocalStack, http: httpx.Client, sent: list[dict[str, Any]]
) -> None:
    again = http.post(f"/v1/collections/{COLLECTION}/dialogues", json=sent)
    assert again.status_code == httpx.codes.ACCEPTED, again.text
    followed = stack.run("jobs", again.json()["job"], "--follow", "--json")
    counts = json.loads(followed.stdout)["counts"]
    assert (counts["indexed"], counts["unchanged"]) == (DIALOGUES, DIALOGUES)
