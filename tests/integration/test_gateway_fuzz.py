"""Whatever is sent, the gateway answers as its description says: never a 500."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
TALK = dialogue("hello", [{"type": "text", "text": "a cake"}, image_part(data_url(png()))], "bye")
REQUESTS: dict[str, Any] = {
    "/v1/fragments/search": {"query": "cake", "dialogue": TALK, "timeout_ms": 5_000, "top_k": 3},
    "/v1/fragments/split": {"dialogue": TALK},
    "/v1/images": {"image": {"url": data_url(png())}},
}
NAMES = ("query", "dialogue", "utterances", "id", "content", "image_url", "url", "collection", "as")
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
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    quota = {"requests_per_s": 100_000, "burst": 100_000}
    with running_gateway(tmp_path_factory.mktemp("gateway"), tenant=quota) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def described(gateway: RunningGateway) -> dict[str, set[str]]:
    """The statuses that each path may answer."""
    paths = gateway.http.get("/openapi.json").json()["paths"]
    return {path: set(paths[path]["post"]["responses"]) for path in REQUESTS}


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(path=st.sampled_from(sorted(REQUESTS)), data=st.data())
def test_a_request_with_something_wrong_gets_an_answer_of_the_description(
    gateway: RunningGateway, described: dict[str, set[str]], path: str, data: st.DataObject
) -> None:
    body = copy.deepcopy(REQUESTS[path])
    for _ in range(data.draw(st.integers(1, 3))):
        _spoil(body, data)

    reply = gateway.http.post(
        path,
        content=json.dumps(body).encode(),
        headers={
            "content-type": "application/json",
            "authorization": f"Bearer {PAGE_TOKEN}",
        },
    )

    assert str(reply.status_code) in described[path]
    assert reply.status_code < 500, reply.text
    if reply.status_code != 200:
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.json()["detail"]


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(path=st.sampled_from(sorted(REQUESTS)), body=st.binary(max_size=200))
def test_any_bytes_are_answered(gateway: RunningGateway, path: str, body: bytes) -> None:
    headers = {"content-type": "application/json", "authorization": f"Bearer {PAGE_TOKEN}"}

    reply = gateway.http.post(path, content=body, headers=headers)

    assert reply.status_code in {400, 422}


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
