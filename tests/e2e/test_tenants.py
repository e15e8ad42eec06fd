"""Two tenants with equal content on one stack: over every endpoint, nothing of one reaches the
other.

The stack has gateway, generator, indexer and retriever, and no engine: a CLIP space is enough to
store and to find.
"""

import base64
import io
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import yaml
from PIL import Image

from colloquy.servicekit.keys import KeyStore
from gateway.access import NEEDS
from tests import starter
from tests.e2e.local_stack import ROOT, LocalStack, until
from tests.e2e.ports import free_port

COLLECTION = "family"
SECRET = {"a": "the blue vase of aunt agnes", "b": "the brass lamp of uncle boris"}
# An operator's, and a list that is the same for all.
NOBODYS = {"GET /metrics", "GET /v1/models"}
NOT_HERE = {404, 422}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    folder = tmp_path_factory.mktemp("tenants")
    path = folder / "tenants.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "name": "tenants",
                "about": "A CLIP space and nothing that writes.",
                "root": str(ROOT),
                "state": str(folder / "var"),
                "registry": ["starter"],
                "engines": {
                    "away": {"runtime": "openai", "url": "http://127.0.0.1:9", "model": "none"}
                },
                "tasks": {"fragment": {"engine": "away", "protocol": "f2rvlm", "tolerant": True}},
                "spaces": {
                    "clip": {"kind": "open_clip", "model": starter.named("clip"), "threads": 1}
                },
                "gateway": {"port": free_port()},
                "retriever": {},
                "indexer": {},
            }
        )
    )
    stack = LocalStack(path)
    try:
        # Never ready as a whole, since its engine is away: `up` would wait for it.
        stack.control.start(tied=True)
        until(lambda: _answers(stack), within_s=120)
        yield stack
    finally:
        stack.run("down")


def _answers(stack: LocalStack) -> bool:
    state = stack.control.state()
    if state is None:
        return False
    try:
        ready = httpx.get(f"{state.api_url}/readyz", timeout=5, trust_env=False).json()
    except (httpx.TransportError, ValueError):
        return False
    checks = {check["name"]: check["ready"] for check in ready["checks"]}
    return bool(checks.get("space:clip") and checks.get("indexer"))


@dataclass
class Tenant:
    """A key, and every route that it called, by the names of the gateway's own table."""

    name: str
    http: httpx.Client
    called: set[str] = field(default_factory=set)
    job: str = ""
    blob: str = ""

    def call(self, route: str, *, query: str = "", **request: Any) -> httpx.Response:
        """Calls `POST /v1/collections/{name}/dialogues` with `{…}` filled from `request`."""
        assert route in NEEDS, route
        self.called.add(route)
        method, _, path = route.partition(" ")
        named = {"name": COLLECTION} | {
            key: request.pop(key) for key in ("id", "ref", "name") if key in request
        }
        return self.http.request(method, path.format(**named) + query, **request)


@pytest.fixture(scope="module")
def tenants(stack: LocalStack) -> Iterator[tuple[Tenant, Tenant]]:
    """Both with the same dialogue, picture, names and idempotency key; each with one of its own."""
    made = []
    for name in ("a", "b"):
        with closing(KeyStore(stack.profile.keys_file)) as keys:
            secret = keys.create(name, ("search", "index"), "")
        http = httpx.Client(
            base_url=stack.api_url,
            headers={"authorization": f"Bearer {secret}"},
            timeout=120,
            trust_env=False,
        )
        made.append(Tenant(name, http))
    for tenant in made:
        _fill(tenant)
    yield made[0], made[1]
    for tenant in made:
        tenant.http.close()


def _fill(tenant: Tenant) -> None:
    uploaded = tenant.call("POST /v1/images", content=_png(), headers={"content-type": "image/png"})
    assert uploaded.status_code == httpx.codes.OK, uploaded.text
    tenant.blob = uploaded.json()["ref"]
    assert tenant.call("PUT /v1/collections/{name}", json={}).is_success
    accepted = tenant.call(
        "POST /v1/collections/{name}/dialogues",
        content=json.dumps([_shared(), _own(tenant.name)]),
        headers={"content-type": "application/json", "idempotency-key": "the same"},
    )
    assert accepted.status_code == httpx.codes.ACCEPTED, accepted.text
    tenant.job = accepted.json()["job"]
    until(lambda: _job(tenant)["state"] == "done", within_s=60)
    assert _job(tenant)["counts"]["indexed"] == 2, _job(tenant)


def _shared() -> dict[str, Any]:
    data = "data:image/png;base64," + base64.b64encode(_png()).decode()
    return {
        "id": "d-1",
        "metadata": {"shop": "kites"},
        "utterances": [
            {"speaker": "user1", "content": "look what I found"},
            {"speaker": "user2", "content": [{"type": "image_url", "image_url": {"url": data}}]},
        ],
    }


def _own(name: str) -> dict[str, Any]:
    return {"id": f"only-{name}", "utterances": [{"speaker": "user1", "content": SECRET[name]}]}


def _png() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (64, 48), "orange").save(data, "PNG")
    return data.getvalue()


def _job(tenant: Tenant) -> dict[str, Any]:
    found: dict[str, Any] = tenant.call("GET /v1/jobs/{id}", id=tenant.job).json()
    return found


def _search(tenant: Tenant, **more: Any) -> httpx.Response:
    body = {
        "query": "look",
        "collection": COLLECTION,
        "rerank": "none",
        "refine": False,
        "top_k": 9,
    }
    return tenant.call("POST /v1/fragments/search", json=body | more)


def _found(tenant: Tenant, **more: Any) -> set[str]:
    answer = _search(tenant, **more)
    assert answer.status_code == httpx.codes.OK, answer.text
    return {fragment["dialogue_id"] for fragment in answer.json()["fragments"]}


def test_the_same_key_and_body_of_two_tenants_are_two_jobs(
    tenants: tuple[Tenant, Tenant],
) -> None:
    a, b = tenants
    assert a.job != b.job
    for tenant, other in ((a, b), (b, a)):
        listed = tenant.call("GET /v1/jobs").json()["jobs"]
        assert [job["id"] for job in listed] == [tenant.job]
        for route in ("GET /v1/jobs/{id}", "GET /v1/jobs/{id}/events", "DELETE /v1/jobs/{id}"):
            assert tenant.call(route, id=other.job).status_code == httpx.codes.NOT_FOUND


def test_each_finds_its_own_alone(tenants: tuple[Tenant, Tenant]) -> None:
    for tenant, other in (tenants, tenants[::-1]):
        assert _found(tenant) == {"d-1", f"only-{tenant.name}"}
        assert _found(tenant, query=SECRET[other.name]) == {"d-1", f"only-{tenant.name}"}
        assert not _found(tenant, filter={"dialogue_id": [f"only-{other.name}"]})
        assert SECRET[other.name] not in _search(tenant, query=SECRET[other.name]).text


def test_counts_and_lists_hold_its_own_alone(tenants: tuple[Tenant, Tenant]) -> None:
    for tenant, other in (tenants, tenants[::-1]):
        (collection,) = tenant.call("GET /v1/collections").json()["collections"]
        assert (collection["dialogues"], collection["fragments"]) == (2, 2)
        assert tenant.call("GET /v1/collections/{name}").json()["dialogues"] == 2
        listed = tenant.call("GET /v1/collections/{name}/dialogues").json()["dialogues"]
        assert {one["id"] for one in listed} == {"d-1", f"only-{tenant.name}"}
        theirs = f"only-{other.name}"
        route = "/v1/collections/{name}/dialogues/{id}"
        assert tenant.call(f"GET {route}", id=theirs).status_code == httpx.codes.NOT_FOUND
        assert tenant.call(f"DELETE {route}", id=theirs).status_code == httpx.codes.NOT_FOUND
        added = {"utterances": [{"speaker": "user1", "content": "hello"}]}
        reply = tenant.call(f"POST {route}/utterances", id=theirs, json=added)
        assert reply.status_code == httpx.codes.NOT_FOUND


def test_a_picture_of_the_other_is_not_there(tenants: tuple[Tenant, Tenant]) -> None:
    for tenant, other in (tenants, tenants[::-1]):
        assert tenant.blob != other.blob
        mine = tenant.call("GET /v1/images/{ref}", ref=tenant.blob)
        assert mine.status_code == httpx.codes.OK
        theirs = {"url": other.blob}
        part = {"type": "image_url", "image_url": theirs}
        talk = {"utterances": [{"speaker": "x", "content": [part]}]}
        replies = [
            tenant.call("GET /v1/images/{ref}", ref=other.blob),
            _search(tenant, query_image=theirs),
            tenant.call("POST /v1/fragments/search", json={"query": "look", "dialogue": talk}),
            tenant.call("POST /v1/fragments/split", json={"dialogue": talk}),
            tenant.call("POST /v1/embeddings", json={"model": "clip", "input": [[part]]}),
            tenant.call("POST /v1/rerank", json={"query": "look", "documents": [[part]]}),
            tenant.call("POST /v2/rerank", json={"query": "look", "documents": [[part]]}),
            tenant.call(
                "POST /v1/collections/{name}/dialogues", json=[talk | {"id": "with-theirs"}]
            ),
        ]
        assert {reply.status_code for reply in replies} <= NOT_HERE
        assert _found(tenant) == {"d-1", f"only-{tenant.name}"}


def test_what_one_erases_renews_or_drops_stays_with_the_other(
    tenants: tuple[Tenant, Tenant],
) -> None:
    a, b = tenants
    before = a.call("GET /v1/collections/{name}/dialogues/{id}", id="d-1").json()["dialogue"]
    renewed = b.call("POST /v1/collections/{name}/reindex")
    assert renewed.status_code == httpx.codes.ACCEPTED, renewed.text
    b.job = renewed.json()["id"]
    until(lambda: _job(b)["state"] == "done", within_s=60)
    erased = b.call("POST /v1/erase", json={"speaker": "user1"})
    assert erased.status_code == httpx.codes.ACCEPTED, erased.text
    b.job = erased.json()["id"]
    until(lambda: _job(b)["state"] == "done", within_s=60)
    assert SECRET["b"] not in b.call("GET /v1/collections/{name}/dialogues").text
    assert b.call("DELETE /v1/collections/{name}").status_code == httpx.codes.NO_CONTENT
    assert _search(b).status_code == httpx.codes.NOT_FOUND

    after = a.call("GET /v1/collections/{name}/dialogues/{id}", id="d-1").json()["dialogue"]
    assert after == before
    assert _found(a) == {"d-1", "only-a"}
    (part,) = after["utterances"][1]["content"]
    picture = part["image_url"]["url"]
    assert a.call("GET /v1/images/{ref}", ref=picture).status_code == httpx.codes.OK


def test_no_endpoint_was_left_out(tenants: tuple[Tenant, Tenant]) -> None:
    assert set(NEEDS) - NOBODYS == tenants[1].called
