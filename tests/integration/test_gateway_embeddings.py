"""Vectors and rankings at a real gateway, as other people's clients ask for them."""

import base64
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from colloquy.contracts.content import ImagePart, TextPart
from colloquy.servicekit.problems import Overloaded
from tests.doubles.front_retriever import DIMENSIONS, vector_of
from tests.doubles.front_stack import Front, running_front
from tests.doubles.gateway import data_url, image_part, png, running_gateway

pytestmark = pytest.mark.integration
PHOTO = data_url(png())
BARE = base64.b64encode(png()).decode()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with running_front(tmp_path_factory.mktemp("front")) as front:
        yield front


@pytest.fixture
def front(shared: Front) -> Front:
    """A gateway over doubles as new; it serves others too, so nobody makes keys."""
    shared.reset()
    return shared


def embed(front: Front, given: Any, **more: Any) -> httpx.Response:
    return front.http.post("/v1/embeddings", json={"input": given} | more)


def slug(reply: httpx.Response) -> str:
    assert reply.headers["content-type"] == "application/problem+json", reply.text
    return str(reply.json()["type"]).removeprefix("urn:colloquy:problem:")


def kinds(content: list[TextPart | ImagePart]) -> list[str]:
    return [part.type for part in content]


# --- OpenAI's own client ------------------------------------------------------------------------


@pytest.fixture
def client(front: Front) -> Iterator[openai.OpenAI]:
    # A client of its own, since openai's would read the machine's proxies.
    with httpx.Client(trust_env=False) as http:
        yield openai.OpenAI(
            base_url=f"{front.url}/v1", api_key="any", http_client=http, max_retries=0
        )


def test_openais_client_gets_the_vectors(front: Front, client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="lamra", input=["a cake", "a kite"])

    assert [one.index for one in answer.data] == [0, 1]
    expected = vector_of(("document", [TextPart(text="a cake")]))
    assert answer.data[0].embedding == pytest.approx(expected, abs=1e-6)
    assert answer.model == "lamra@1"
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (6, 6)
    assert front.retriever.embedded[0].space == "lamra"


def test_openais_client_gets_plain_numbers_too(client: openai.OpenAI) -> None:
    plain = client.embeddings.create(model="clip", input="a cake", encoding_format="float")
    packed = client.embeddings.create(model="clip", input="a cake")  # base64 on the wire

    assert plain.data[0].embedding == pytest.approx(packed.data[0].embedding, abs=1e-6)


def test_openais_client_sees_an_unknown_model_as_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.embeddings.create(model="text-embedding-3-small", input="x")

    assert missing.value.response.json()["type"] == "urn:colloquy:problem:model-missing"
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    assert missing.value.type == "invalid_request_error"
    assert missing.value.body == {
        "message": "There is no such model: body/model: is none of what `GET /v1/models` lists",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }


def test_openais_client_sees_which_input_is_wrong(client: openai.OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as wrong:
        client.embeddings.create(model="clip", input=["a", " "])

    assert (wrong.value.code, wrong.value.param) == ("invalid_request", "input/1")
    assert "must be a text that is not blank" in str(wrong.value)


def test_openais_client_sees_what_stops_before_the_route(tmp_path: Path) -> None:
    with (
        running_front(tmp_path, max_body_bytes=65_536) as strict,
        httpx.Client(trust_env=False) as http,
    ):
        client = openai.OpenAI(
            base_url=f"{strict.url}/v1", api_key="any", http_client=http, max_retries=0
        )
        with pytest.raises(openai.APIStatusError) as large:
            client.embeddings.create(model="clip", input="x" * 100_000)
        strict.key("one", "search")
        with pytest.raises(openai.AuthenticationError) as refused:
            client.models.list()

    assert (large.value.status_code, large.value.code) == (413, "too_large")
    assert (refused.value.code, refused.value.type) == ("invalid_api_key", "authentication_error")


def test_problems_of_our_own_routes_have_no_dialect(front: Front) -> None:
    reply = front.http.post("/v1/rerank", json={"model": "x", "query": "a", "documents": ["b"]})

    assert (reply.status_code, slug(reply)) == (404, "model-missing")
    assert "error" not in reply.json()


def test_openais_client_lists_the_models(client: openai.OpenAI) -> None:
    assert "clip@1" in [model.id for model in client.models.list()]


def test_openais_client_waits_as_it_is_told(front: Front, client: openai.OpenAI) -> None:
    front.retriever.failure = Overloaded(retry_after_s=4)

    with pytest.raises(openai.InternalServerError) as busy:
        client.embeddings.create(model="clip", input="x")

    assert busy.value.response.headers["retry-after"] == "4"


# --- the shapes of an input ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "contents"),
    [
        ("a cake", [["text"]]),
        (["a", "b"], [["text"], ["text"]]),
        (PHOTO, [["image_url"]]),
        ([PHOTO, "b"], [["image_url"], ["text"]]),
        ({"text": "a"}, [["text"]]),
        ([{"text": "a"}, {"image": PHOTO}], [["text"], ["image_url"]]),
        ([{"image": PHOTO, "text": "a"}], [["image_url", "text"]]),
        ([{"image": BARE}], [["image_url"]]),
        ([{"image": {"url": PHOTO}}], [["image_url"]]),
        ([{"type": "text", "text": "a"}, image_part(PHOTO)], [["text"], ["image_url"]]),
        ([[{"type": "text", "text": "a"}, image_part(PHOTO)]], [["text", "image_url"]]),
        ([{"type": "image_url", "image_url": PHOTO}], [["image_url"]]),
        ([{"content": [image_part(PHOTO)]}], [["image_url"]]),
        ([{"content": "a"}], [["text"]]),
    ],
)
def test_every_shape_becomes_contents_with_references(
    front: Front, given: Any, contents: list[list[str]]
) -> None:
    reply = embed(front, given, model="clip")

    assert reply.status_code == 200, reply.text
    (asked,) = front.retriever.embedded
    assert [kinds(item.content) for item in asked.items] == contents
    assert len(reply.json()["data"]) == len(contents)
    for item in asked.items:
        for part in item.content:
            assert not isinstance(part, ImagePart) or part.image_url.url.startswith("blob:")


def test_vllms_messages_are_one_content(front: Front) -> None:
    messages = [
        {"role": "system", "content": "Represent the user's input."},
        {"role": "user", "content": [image_part(PHOTO), {"type": "text", "text": "a cake"}]},
        {"role": "assistant", "content": ""},
    ]

    reply = front.http.post("/v1/embeddings", json={"model": "clip", "messages": messages})

    assert len(reply.json()["data"]) == 1
    assert kinds(front.retriever.embedded[0].items[0].content) == ["image_url", "text"]


@pytest.mark.parametrize(
    ("more", "role"),
    [
        ({}, "document"),
        ({"input_type": "query"}, "query"),
        ({"input_type": "search_query"}, "query"),
        ({"input_type": "search_document"}, "document"),
        ({"task": "retrieval.query"}, "query"),
        ({"task": "retrieval.passage"}, "document"),
    ],
)
def test_queries_are_told_from_documents(front: Front, more: dict[str, str], role: str) -> None:
    embed(front, "a cake", **more)

    assert front.retriever.embedded[0].items[0].role == role


@pytest.mark.parametrize(("model", "space"), [(None, "clip"), ("lamra", "lamra"), ("lamra@1",) * 2])
def test_a_model_is_a_space_its_version_or_the_first(
    front: Front, model: str | None, space: str
) -> None:
    answer = embed(front, "x", model=model).json()

    assert front.retriever.embedded[0].space == space.removesuffix("@1")
    assert answer["models"] == {space.removesuffix("@1"): f"{space.removesuffix('@1')}@1"}


def test_base64_is_the_same_numbers_the_lowest_byte_first(front: Front) -> None:
    plain = embed(front, "a cake").json()["data"][0]["embedding"]
    packed = embed(front, "a cake", encoding_format="base64").json()["data"][0]["embedding"]

    numbers = struct.unpack(f"<{DIMENSIONS}f", base64.b64decode(packed))
    assert list(numbers) == pytest.approx(plain, abs=1e-6)


def test_many_inputs_come_back_in_their_order(front: Front) -> None:
    texts = [f"text {number}" for number in range(300)]

    data = embed(front, texts).json()["data"]

    assert [one["index"] for one in data] == list(range(300))
    assert data[299]["embedding"] == vector_of(("document", [TextPart(text="text 299")]))
    assert len(front.retriever.embedded) > 1


def test_what_is_not_known_is_ignored(front: Front) -> None:
    reply = embed(front, "x", user="u", normalized=True, truncate="END", late_chunking=False)

    assert reply.status_code == 200


@pytest.mark.parametrize(
    ("given", "at"),
    [
        ("", "body/input"),
        (" ", "body/input"),
        ([], "body/input"),
        (7, "body/input"),
        ([1, 2, 3], "body/input"),
        ([[1, 2], [3]], "body/input"),
        (["a", ""], "body/input/1"),
        (["a", 7], "body/input/1"),
        (["a", None], "body/input/1"),
        (["a", True], "body/input/1"),
        ([{"video": "x"}], "body/input/0"),
        ([{"image": ""}], "body/input/0/image"),
        ([{"image": 7}], "body/input/0/image"),
        ([{"image": "data:image/png;base64,AAAA"}], "body/input/0/image"),
        ([{"image": "file:///etc/passwd"}], "body/input/0/image"),
        ([{"image": "/etc/passwd"}], "body/input/0/image"),
        ([{"type": "audio"}], "body/input/0/type"),
        ([{"type": "text", "text": 1}], "body/input/0/text"),
        ([[{"type": "image_url", "image_url": {}}]], "body/input/0/0/image_url"),
        ([[]], "body/input/0"),
        ([["text"]], "body/input/0/0"),
        ([{"content": 7}], "body/input/0/content"),
        (["x"] * 2_049, "body/input"),
        ("x" * 100_001, "body/input"),
    ],
)
def test_a_wrong_input_is_named_by_its_place(front: Front, given: Any, at: str) -> None:
    reply = embed(front, given)

    assert reply.status_code in (413, 415, 422), reply.text
    assert reply.json()["faults"][0]["at"].startswith(at)
    assert front.retriever.embedded == []


def test_token_numbers_are_refused_in_words(front: Front) -> None:
    assert "token" in embed(front, [[1, 2], [3]]).json()["detail"]


@pytest.mark.parametrize(
    "body", [{}, {"input": "x", "messages": [{"role": "user", "content": "x"}]}, {"messages": []}]
)
def test_an_input_or_messages_are_needed(front: Front, body: dict[str, Any]) -> None:
    reply = front.http.post("/v1/embeddings", json=body)

    assert (reply.status_code, slug(reply)) == (422, "invalid-request")


def test_other_dimensions_are_refused(front: Front) -> None:
    assert embed(front, "x", dimensions=DIMENSIONS).status_code == 200
    reply = embed(front, "x", dimensions=256)

    assert (reply.status_code, slug(reply)) == (422, "unsupported")


def test_without_the_services_there_are_no_vectors_and_no_ranking(tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway:
        vectors = gateway.http.post("/v1/embeddings", json={"input": "x"})
        ranking = gateway.http.post("/v1/rerank", json={"query": "x", "documents": ["x"]})

    assert [slug(vectors), slug(ranking)] == ["unsupported", "unsupported"]


# --- ranking ------------------------------------------------------------------------------------


def rank(front: Front, path: str = "/v1/rerank", **body: Any) -> httpx.Response:
    sent = {"query": "cake", "documents": ["a kite", "a cake", "cake!"]} | body
    return front.http.post(path, json=sent)


def test_jinas_request_gets_what_its_clients_read(front: Front) -> None:
    # As jina's and LangChain's JinaRerank send it.
    answer = rank(front, model="rank", top_n=2, return_documents=True).json()

    assert [one["index"] for one in answer["results"]] == [1, 2]
    assert answer["results"][0] == {
        "index": 1,
        "relevance_score": 0.9,
        "document": {"text": "a cake"},
    }
    assert answer["model"] == "rank@1"
    assert answer["usage"]["total_tokens"] == 8


def test_coheres_request_gets_what_its_clients_read(front: Front) -> None:
    # As cohere's ClientV2.rerank sends it.
    answer = rank(front, path="/v2/rerank", model="rank@1", top_n=1, max_tokens_per_doc=4096).json()

    assert answer["results"][0]["index"] == 1
    assert isinstance(answer["results"][0]["relevance_score"], float)
    assert answer["id"]
    assert answer["meta"]["api_version"]["version"] == "2"


def test_coheres_older_documents_are_objects(front: Front) -> None:
    documents = [{"text": "a kite", "title": "K"}, {"text": "a cake", "title": "C"}]

    answer = rank(front, documents=documents, return_documents=True).json()

    assert answer["results"][0]["document"] == documents[1]


@pytest.mark.parametrize(
    "shape",
    [
        lambda url: url,
        lambda url: {"image": url},
        lambda url: image_part(url),
        lambda url: [image_part(url)],
        lambda url: {"content": [image_part(url)]},
    ],
)
def test_pictures_rank_in_query_and_documents(front: Front, shape: Any) -> None:
    other = data_url(png((1, 2, 3)))

    answer = rank(front, query=shape(PHOTO), documents=[shape(other), shape(PHOTO)]).json()

    assert [one["index"] for one in answer["results"]] == [1, 0]


def test_a_querys_pictures_come_first(front: Front) -> None:
    rank(front, query=[{"type": "text", "text": "cake"}, image_part(PHOTO)])

    assert kinds(front.reranker.asked[0].query) == ["image_url", "text"]


def test_results_without_a_wish_for_documents_hold_none(front: Front) -> None:
    assert [one["document"] for one in rank(front).json()["results"]] == [None] * 3


def test_equal_scores_keep_the_order_they_came_in(front: Front) -> None:
    assert [one["index"] for one in rank(front).json()["results"]] == [1, 2, 0]


def test_more_than_there_are_is_all(front: Front) -> None:
    assert len(rank(front, top_n=50).json()["results"]) == 3


def test_documents_that_were_not_scored_in_time_are_left_out_openly(front: Front) -> None:
    front.reranker.unscored = 1

    answer = rank(front).json()

    assert [one["index"] for one in answer["results"]] == [1, 0]
    assert answer["degraded"] == ["rerank-partial"]


def test_a_list_is_ranked_by_the_number_of_the_best(front: Front) -> None:
    answer = rank(front, mode="listwise").json()

    assert front.reranker.asked[0].mode == "listwise"
    assert answer["results"][0]["relevance_score"] == 0.8


@pytest.mark.parametrize("instruction", [None, "", "Find a cake."])
def test_a_ranking_may_bring_its_own_instruction(front: Front, instruction: str | None) -> None:
    rank(front, instruction=instruction)

    assert front.reranker.asked[0].instruction == instruction


def test_a_list_too_long_is_refused(front: Front) -> None:
    reply = rank(front, mode="listwise", documents=["x"] * 11)

    assert (reply.status_code, slug(reply)) == (422, "unsupported")


def test_an_unknown_model_ranks_nothing(front: Front) -> None:
    reply = rank(front, model="rerank-v3.5")

    assert (reply.status_code, slug(reply)) == (404, "model-missing")
    assert front.reranker.asked == []


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ({"query": ""}, "body/query"),
        ({"query": None}, "body/query"),
        ({"documents": []}, "body/documents"),
        ({"documents": "x"}, "body/documents"),
        ({"documents": ["x", {}]}, "body/documents/1"),
        ({"documents": ["x", ""]}, "body/documents/1"),
        ({"documents": ["x"] * 1_001}, "body/documents"),
        ({"top_n": 0}, "body/top_n"),
        ({"documents": [{"image": "data:image/png;base64,AAAA"}]}, "body/documents/0/image"),
    ],
)
def test_a_wrong_ranking_is_named_by_its_place(front: Front, body: dict[str, Any], at: str) -> None:
    reply = rank(front, **body)

    assert reply.status_code in (415, 422), reply.text
    assert reply.json()["faults"][0]["at"].startswith(at)
    assert front.reranker.asked == []


@pytest.mark.parametrize("deep", ["[" * 300 + "]" * 300, '{"n":' * 300 + "1" + "}" * 300])
def test_a_document_too_deep_to_be_written_again_is_not_given_back(front: Front, deep: str) -> None:
    documents: list[Any] = ["x", {"text": "y", "more": json.loads(deep)}]

    refused = rank(front, documents=documents, return_documents=True)
    taken = rank(front, documents=documents)

    assert (refused.status_code, slug(refused)) == (422, "invalid-request")
    assert refused.json()["faults"][0]["at"] == "body/documents/1"
    assert taken.status_code == 200, "what is not given back may be as deep as it likes"


def test_a_content_around_a_content_around_a_content_is_none(front: Front) -> None:
    body = '{"input": ' + '{"content": ' * 900 + '"x"' + "}" * 901

    reply = front.http.post(
        "/v1/embeddings", content=body, headers={"content-type": "application/json"}
    )

    assert (reply.status_code, slug(reply)) == (422, "invalid-request")
    assert reply.json()["faults"][0]["at"] == "body/input/content"


def test_the_time_for_a_ranking_is_the_callers(front: Front) -> None:
    front.reranker.delays_s = {"pointwise": 30}

    reply = rank(front, timeout_ms=200)

    assert (reply.status_code, slug(reply)) == (504, "deadline-exceeded")


def test_each_tenants_work_is_asked_in_its_name(tmp_path: Path) -> None:
    with running_front(tmp_path) as front:
        for tenant in ("one", "other"):
            key = front.key(tenant, "search")
            front.http.post("/v1/embeddings", json={"input": PHOTO}, headers=key)
            body = {"query": "x", "documents": [PHOTO]}
            front.http.post("/v1/rerank", json=body, headers=key)

    assert [asked.tenant for asked in front.retriever.embedded] == ["one", "other"]
    assert [asked.tenant for asked in front.reranker.asked] == ["one", "other"]
    pictures = {asked.items[0].content[0].model_dump_json() for asked in front.retriever.embedded}
    assert len(pictures) == 2
