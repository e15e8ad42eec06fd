"""Keys, scopes, tenants, hosts and origins at a real gateway."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from colloquy.servicekit.keys import KeyStore
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
SEARCH = {"query": "x", "dialogue": dialogue("x")}


@pytest.fixture(scope="module")
def open_door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway without keys."""
    with running_gateway(tmp_path_factory.mktemp("open")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with a key, which nobody has."""
    with running_gateway(tmp_path_factory.mktemp("keyed")) as gateway:
        gateway.key("nobody", "search")
        yield gateway


def slug(reply: httpx.Response) -> str:
    assert reply.headers["content-type"] == "application/problem+json"
    return str(reply.json()["type"]).removeprefix("urn:colloquy:problem:")


# --- without keys -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "",
        "[::2]",
        "127.0.0.1:1@evil.example",
        "[::1]evil.example",
    ],
)
@pytest.mark.parametrize("path", ["/", "/v1/models", "/metrics", "/readyz", "/openapi.json"])
def test_without_keys_another_name_for_this_machine_is_refused(
    open_door: RunningGateway, host: str, path: str
) -> None:
    reply = open_door.http.get(path, headers={"host": host})

    assert (reply.status_code, slug(reply)) == (403, "host-refused")


@pytest.mark.parametrize("host", ["localhost:8420", "127.0.0.1:9", "[::1]:8420", "LOCALHOST"])
def test_without_keys_every_loopback_name_is_served(open_door: RunningGateway, host: str) -> None:
    assert open_door.http.get("/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://localhost:3000", "https://127.0.0.1", "file://"],
)
def test_without_keys_another_page_is_refused(open_door: RunningGateway, origin: str) -> None:
    reply = open_door.http.post("/v1/fragments/search", json=SEARCH, headers={"origin": origin})

    assert (reply.status_code, slug(reply)) == (403, "origin-refused")
    assert "access-control-allow-origin" not in reply.headers


def test_without_keys_a_page_elsewhere_cannot_even_show_a_picture(
    open_door: RunningGateway,
) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}

    assert open_door.http.get("/v1/models", headers=headers).status_code == 403


def test_a_link_to_the_page_may_be_followed(open_door: RunningGateway) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}

    assert open_door.http.get("/docs", headers=headers).status_code == 200


def test_without_keys_its_own_page_searches_without_a_token(open_door: RunningGateway) -> None:
    headers = {"origin": open_door.url, "sec-fetch-site": "same-origin"}

    reply = open_door.http.post("/v1/fragments/search", json=SEARCH, headers=headers)

    assert reply.status_code == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
@pytest.mark.parametrize("path", ["/v1/fragments/search", "/v1/fragments/split"])
def test_what_a_form_can_send_is_refused(open_door: RunningGateway, path: str, kind: str) -> None:
    reply = open_door.http.post(path, content=b'{"query":"x"}', headers={"content-type": kind})

    assert (reply.status_code, slug(reply)) == (415, "unsupported-media")


@pytest.mark.parametrize("token", [None, "Bearer wrong", f"Basic {PAGE_TOKEN}", "Bearer"])
def test_without_keys_a_change_needs_the_page_token(
    open_door: RunningGateway, token: str | None
) -> None:
    headers = {"content-type": "image/png"} | ({"authorization": token} if token else {})

    reply = open_door.http.post("/v1/images", content=png(), headers=headers)

    assert (reply.status_code, slug(reply)) == (401, "unauthenticated")
    assert reply.headers["www-authenticate"] == "Bearer"


def test_without_keys_the_page_token_allows_a_change(open_door: RunningGateway) -> None:
    headers = {"content-type": "image/png", "authorization": f"Bearer {PAGE_TOKEN}"}

    assert open_door.http.post("/v1/images", content=png(), headers=headers).status_code == 200


def test_without_a_page_token_nothing_can_be_changed(tmp_path: Path) -> None:
    with running_gateway(tmp_path, page_token=None) as gateway:
        headers = {"content-type": "image/png", "authorization": "Bearer x"}
        reply = gateway.http.post("/v1/images", content=png(), headers=headers)

    assert reply.status_code == 401


def test_without_keys_metrics_and_detail_are_open_to_this_machine(
    open_door: RunningGateway,
) -> None:
    assert "gateway_request_seconds" in open_door.http.get("/metrics").text
    assert open_door.http.get("/readyz").json()["checks"]


# --- with keys --------------------------------------------------------------------------------


@pytest.mark.parametrize("authorization", [None, "Bearer cq_x_y", "Basic abc", "Bearer"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/fragments/search"),
        ("POST", "/v1/fragments/split"),
        ("POST", "/v1/images"),
        ("GET", "/v1/images/blob:x"),
        ("GET", "/v1/models"),
        ("GET", "/metrics"),
    ],
)
def test_with_keys_every_route_of_the_api_needs_one(
    keyed: RunningGateway, method: str, path: str, authorization: str | None
) -> None:
    headers = {"authorization": authorization} if authorization else {}

    reply = keyed.http.request(method, path, headers=headers)

    assert (reply.status_code, slug(reply)) == (401, "unauthenticated")


def test_with_keys_the_page_token_opens_nothing(keyed: RunningGateway) -> None:
    headers = {"authorization": f"Bearer {PAGE_TOKEN}"}

    assert keyed.http.get("/v1/models", headers=headers).status_code == 401


def test_a_stranger_is_refused_before_the_body_is_read(keyed: RunningGateway) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(1_000):
            yield b" " * 65_536

    try:
        reply = keyed.http.post("/v1/fragments/search", content=endless())
    except httpx.WriteError:  # answered, and closed while we were still sending
        return
    assert reply.status_code == 401


def test_with_keys_any_host_and_origin_is_served(keyed: RunningGateway) -> None:
    headers = keyed.key("acme", "search") | {"host": "api.example", "origin": "https://a.example"}

    reply = keyed.http.post("/v1/fragments/search", json=SEARCH, headers=headers)

    assert reply.status_code == 200


def test_the_key_decides_the_tenant(keyed: RunningGateway) -> None:
    keyed.generator.asked.clear()
    headers = keyed.key("acme", "search") | {"x-colloquy-tenant": "other", "x-tenant": "other"}

    keyed.http.post("/v1/fragments/search", json=SEARCH, headers=headers)

    assert keyed.generator.asked[0].tenant == "acme"


def test_a_key_without_the_scope_is_refused_and_told_which(keyed: RunningGateway) -> None:
    headers = keyed.key("acme", "classify")

    reply = keyed.http.post("/v1/fragments/search", json=SEARCH, headers=headers)

    assert (reply.status_code, slug(reply)) == (403, "scope-missing")
    assert reply.json()["scope"] == "search"


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/images"), ("GET", "/v1/images/blob:x")])
def test_an_operator_has_no_pictures(keyed: RunningGateway, method: str, path: str) -> None:
    reply = keyed.http.request(method, path, headers=keyed.key(None, "operator"))

    assert (reply.status_code, slug(reply)) == (403, "scope-missing")


def test_a_revoked_key_is_refused_from_the_next_request_on(keyed: RunningGateway) -> None:
    headers = keyed.key("acme", "search")
    assert keyed.http.get("/v1/models", headers=headers).status_code == 200

    with closing(KeyStore(keyed.settings.keys_file)) as keys:
        keys.revoke(headers["authorization"].split("_")[1])

    assert keyed.http.get("/v1/models", headers=headers).status_code == 401


def test_metrics_and_detail_are_for_operators(keyed: RunningGateway) -> None:
    tenant, operator = keyed.key("acme", "search"), keyed.key(None, "operator")

    assert keyed.http.get("/metrics", headers=tenant).status_code == 403
    assert keyed.http.get("/metrics", headers=operator).status_code == 200
    assert keyed.http.get("/readyz", headers=tenant).json() == {"ready": True, "checks": []}
    assert keyed.http.get("/readyz").json() == {"ready": True, "checks": []}
    assert keyed.http.get("/readyz", headers=operator).json()["checks"]


def test_health_says_nothing_and_needs_nothing(keyed: RunningGateway) -> None:
    reply = keyed.http.get("/healthz")

    assert (reply.status_code, reply.content) == (204, b"")


def test_the_first_key_closes_the_door_at_once_and_revoking_it_does_not_open_it(
    tmp_path: Path,
) -> None:
    with running_gateway(tmp_path) as gateway:
        before = gateway.http.get("/v1/models").status_code
        headers = gateway.key("acme", "search")
        after = gateway.http.get("/v1/models").status_code
        with closing(KeyStore(gateway.settings.keys_file)) as keys:
            keys.revoke(headers["authorization"].split("_")[1])
        revoked = gateway.http.get("/v1/models").status_code

    assert [before, after, revoked] == [200, 401, 401]


# --- tenants ----------------------------------------------------------------------------------


def upload(gateway: RunningGateway, key: dict[str, str]) -> str:
    headers = key | {"content-type": "image/png"}
    return str(
        gateway.http.post("/v1/images", content=png((9, 9, 9)), headers=headers).json()["ref"]
    )


def test_equal_pictures_of_two_tenants_have_different_references(keyed: RunningGateway) -> None:
    one, other = keyed.key("one", "search"), keyed.key("other", "search")

    assert upload(keyed, one) != upload(keyed, other)
    assert upload(keyed, one) == upload(keyed, keyed.key("one", "index"))


def test_a_foreign_reference_is_missing_wherever_it_is_used(keyed: RunningGateway) -> None:
    one, other = keyed.key("one", "search"), keyed.key("other", "search")
    ref = upload(keyed, one)
    body = {"query": "x", "dialogue": dialogue("x", [image_part(ref)])}

    read = keyed.http.get(f"/v1/images/{ref}", headers=other)
    searched = keyed.http.post("/v1/fragments/search", json=body, headers=other)
    invented = keyed.http.get(f"/v1/images/blob:{'0' * 64}", headers=other)

    assert [read.status_code, searched.status_code, invented.status_code] == [404, 404, 404]
    assert slug(read) == slug(searched) == slug(invented) == "blob-missing"
    assert searched.json()["faults"][0]["at"] == (
        "body/dialogue/utterances/1/content/0/image_url/url"
    )
    assert keyed.http.get(f"/v1/images/{ref}", headers=one).status_code == 200


def test_one_tenants_quota_leaves_the_others_alone(tmp_path: Path) -> None:
    with running_gateway(tmp_path, tenant={"requests_per_s": 0.01, "burst": 1}) as gateway:
        one, other = gateway.key("one", "search"), gateway.key("other", "search")
        statuses = [
            gateway.http.post("/v1/fragments/search", json=SEARCH, headers=key).status_code
            for key in (one, one, other)
        ]

    assert statuses == [200, 429, 200]


def test_a_reference_from_an_answer_is_the_tenants_own(keyed: RunningGateway) -> None:
    one, other = keyed.key("one", "search"), keyed.key("other", "search")
    body = {"query": "picture 0", "dialogue": dialogue([image_part(data_url(png((7, 8, 9))))])}

    reply = keyed.http.post("/v1/fragments/search", json=body, headers=one).json()

    ref = reply["fragments"][0]["utterances"][0]["content"][0]["image_url"]["url"]
    assert keyed.http.get(f"/v1/images/{ref}", headers=one).status_code == 200
    assert keyed.http.get(f"/v1/images/{ref}", headers=other).status_code == 404
