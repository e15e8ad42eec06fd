"""Whatever is sent, the gateway answers as its description says: never a 500."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from colloquy.contracts.content import Utterance
from tests.doubles.front_stack import Front, running_front
from tests.doubles.gateway import PAGE_TOKEN, data_url, dialogue, image_part, png

pytestmark = pytest.mark.integration
TALK = dialogue("hello", [{"type": "text", "text": "a cake"}, image_part(data_url(png()))], "bye")
KEPT = "/v1/collections/family/dialogues"
# By method, path and a name where one path takes requests of two kinds.
REQUESTS: dict[str, Any] = {
    "POST /v1/fragments/search": {
        "query": "cake",
        "dialogue": TALK,
        "timeout_ms": 5_000,
        "top_k": 3,
    },
    "POST /v1/fragments/search in a collection": {
        "query": "cake",
        "query_image": {"url": data_url(png())},
        "collection": "family",
        "filter": {"dialogue_id": ["d-1"], "speaker": ["Ana"], "metadata": {"a": [1, "b"]}},
        "candidates": 5,
        "rerank": "listwise",
        "refine": True,
        "merge": True,
        "methods": ["clip", "bm25"],
        "as": ["team"],
    },
    "POST /v1/fragments/split": {"dialogue": TALK},
    "POST /v1/images": {"image": {"url": data_url(png())}},
    "POST /v1/embeddings": {
        "model": "clip",
        "input": ["a", [{"type": "text", "text": "b"}, image_part(data_url(png()))]],
        "encoding_format": "float",
    },
    "POST /v1/embeddings of messages": {"messages": [{"role": "user", "content": "a"}]},
    "POST /v1/rerank": {"query": "a", "documents": ["b", {"image": data_url(png())}], "top_n": 1},
    "POST /v2/rerank": {"query": {"text": "a"}, "documents": ["b"], "return_documents": True},
    "PUT /v1/collections/family": {"kind": "dialogues", "spaces": ["clip"], "retention_days": 3},
    f"POST {KEPT}": [TALK | {"id": "d-1"}, TALK | {"id": "d-2"}],
    f"POST {KEPT}/d-1/utterances": {
        "utterances": [{"speaker": "Ana", "content": "more", "ref": "r"}],
        "expected_turns": 3,
    },
    "POST /v1/erase": {"speaker": "Nobody"},
}
NAMES = (
    *("query", "dialogue", "utterances", "id", "content", "image_url", "url", "collection", "as"),
    *("text", "image", "type", "input", "documents", "messages", "metadata", "filter"),
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.sampled_from([10**300, -(10**30), "data:image/png;base64,", "blob:x", "https://x", ""]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    quota = {"requests_per_s": 100_000, "burst": 100_000}
    with running_front(tmp_path_factory.mktemp("gateway"), tenant=quota) as gateway:
        gateway.make()
        gateway.ingest([TALK | {"id": "d-1"}])
        turn = Utterance(id=0, speaker="Ana", content="a cake")
        gateway.retriever.keep("d-1", [turn])
        yield gateway


@pytest.fixture(scope="module")
def described(gateway: Front) -> dict[str, set[str]]:
    """The statuses that each request may be answered with."""
    paths = gateway.http.get("/openapi.json").json()["paths"]
    statuses = {}
    for name in REQUESTS:
        method, path = _address(name)
        template = path.replace("/family", "/{name}").replace("/d-1", "/{id}")
        statuses[name] = set(paths[template][method.lower()]["responses"])
    return statuses


@settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(name=st.sampled_from(sorted(REQUESTS)), data=st.data())
def test_a_request_with_something_wrong_gets_an_answer_of_the_description(
    gateway: Front, described: dict[str, set[str]], name: str, data: st.DataObject
) -> None:
    body = copy.deepcopy(REQUESTS[name])
    for _ in range(data.draw(st.integers(1, 3))):
        _spoil(body, data)

    reply = gateway.http.request(
        *_address(name),
        content=json.dumps(body).encode(),
        headers={
            "content-type": "application/json",
            "authorization": f"Bearer {PAGE_TOKEN}",
        },
    )

    assert str(reply.status_code) in described[name]
    # A timeout of a few milliseconds is a wish like another.
    assert reply.status_code < 500 or _has_no_time(body), reply.text
    if reply.status_code not in (200, 202):
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.json()["detail"]


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(name=st.sampled_from(sorted(REQUESTS)), body=st.binary(max_size=200))
def test_any_bytes_are_answered(gateway: Front, name: str, body: bytes) -> None:
    headers = {"content-type": "application/json", "authorization": f"Bearer {PAGE_TOKEN}"}

    reply = gateway.http.request(*_address(name), content=body, headers=headers)

    assert reply.status_code in {400, 422}


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(lines=st.lists(st.binary(max_size=60) | st.just(json.dumps(TALK | {"id": "d"}).encode())))
def test_any_lines_are_answered_and_only_good_ones_are_taken(
    gateway: Front, lines: list[bytes]
) -> None:
    reply = gateway.ingest(b"\n".join(lines))

    assert reply.status_code in {202, 422}, reply.text
    if reply.status_code == 202:
        assert reply.json()["accepted"] == 1


def _has_no_time(body: Any) -> bool:
    given = body.get("timeout_ms") if isinstance(body, dict) else None
    return isinstance(given, int) and given < 1_000


def _address(name: str) -> tuple[str, str]:
    method, path, *_ = name.split()
    return method, path


def _spoil(body: Any, data: st.DataObject) -> None:
    """Puts something else in one place, takes it away, or adds a name."""
    places = [(holder, name) for holder, name in _places(body)]
    if not places:
        return
    holder, name = data.draw(st.sampled_from(places))
    match data.draw(st.sampled_from(["replace", "remove", "add"])):
        case "replace":
            holder[name] = data.draw(VALUES)
        case "remove":
            del holder[name]
        case "add" if isinstance(holder, dict):
            holder[data.draw(st.sampled_from(NAMES))] = data.draw(VALUES)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        items: Any = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        return
    for name, inner in items:
        yield value, name
        yield from _places(inner)
