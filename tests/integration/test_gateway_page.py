"""The page, the samples and the description, as a browser asks for them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.doubles.gateway import RunningGateway, running_gateway

pytestmark = pytest.mark.integration
SAMPLES = [{"title": "A talk", "language": "en", "dialogue": {"utterances": []}, "queries": []}]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("files")
    page = root / "console"
    (page / "js").mkdir(parents=True)
    (root / "samples").mkdir()
    (root / "secret.js").write_text("secret")
    (page / "index.html").write_text("<!doctype html><title>Colloquy</title>")
    (page / "js" / "main.js").write_text("start()")
    (page / ".hidden.js").write_text("no")
    (page / "notes.md").write_text("no")
    (page / "js" / "link.js").symlink_to(root / "secret.js")
    (root / "samples" / "dialogues.json").write_text(json.dumps(SAMPLES))
    return root


@pytest.fixture(scope="module")
def gateway(folders: Path) -> Iterator[RunningGateway]:
    knobs = {"console": folders / "console", "samples": folders / "samples"}
    with running_gateway(folders / "state", **knobs) as gateway:
        yield gateway


def test_serves_the_page_and_its_parts_with_their_types(gateway: RunningGateway) -> None:
    index, script = gateway.http.get("/"), gateway.http.get("/js/main.js")

    assert index.headers["content-type"] == "text/html; charset=utf-8"
    assert "<title>Colloquy" in index.text
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize("path", ["/", "/js/main.js", "/docs", "/docs/style.css"])
def test_the_page_may_load_only_from_its_own_origin(gateway: RunningGateway, path: str) -> None:
    policy = gateway.http.get(path).headers["content-security-policy"]

    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def test_a_part_that_did_not_change_is_not_sent_again(gateway: RunningGateway) -> None:
    first = gateway.http.get("/js/main.js")

    again = gateway.http.get("/js/main.js", headers={"if-none-match": first.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")


def test_a_part_that_changed_is_sent(gateway: RunningGateway, folders: Path) -> None:
    file = folders / "console" / "js" / "main.js"
    tag = gateway.http.get("/js/main.js").headers["etag"]
    file.write_text("changed()")

    again = gateway.http.get("/js/main.js", headers={"if-none-match": tag})

    assert (again.status_code, again.text) == (200, "changed()")


@pytest.mark.parametrize(
    "path",
    [
        "/js",
        "/js/",
        "/samples",
        "/samples/",
        "/.hidden.js",
        "/notes.md",
        "/js/link.js",
        "/js/../../secret.js",
        "/js/..%2f..%2fsecret.js",
        "//etc/passwd",
        "/%2e%2e/secret.js",
        "/v1",
        "/v1/unknown",
        "/index.html/x",
    ],
)
def test_nothing_else_is_there_and_nothing_is_listed(gateway: RunningGateway, path: str) -> None:
    reply = httpx.get(httpx.URL(gateway.url, raw_path=path.encode()), trust_env=False)

    assert reply.status_code == 404
    assert reply.headers["content-type"] == "application/problem+json"
    assert "secret" not in reply.json()["detail"]


def test_a_file_that_is_gone_is_missing(gateway: RunningGateway, folders: Path) -> None:
    file = folders / "samples" / "dialogues.json"
    text = file.read_text()
    file.unlink()

    missing = gateway.http.get("/samples/dialogues.json").status_code
    file.write_text(text)

    assert missing == 404


def test_serves_the_samples(gateway: RunningGateway) -> None:
    assert gateway.http.get("/samples/dialogues.json").json() == SAMPLES


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/fragments/search"),
        ("DELETE", "/v1/images"),
        ("POST", "/"),
        ("PUT", "/docs"),
        ("TRACE", "/v1/models"),
    ],
)
def test_a_method_that_an_address_does_not_take_is_a_problem(
    gateway: RunningGateway, method: str, path: str
) -> None:
    reply = gateway.http.request(method, path)

    assert (reply.status_code, reply.json()["type"]) == (
        405,
        "urn:colloquy:problem:method-not-allowed",
    )
    assert reply.headers["allow"]


@pytest.mark.parametrize("path", ["/", "/healthz", "/nothing", "/v1/models", "/v1/images/x"])
def test_every_answer_has_a_request_id_and_the_safe_headers(
    gateway: RunningGateway, path: str
) -> None:
    headers = gateway.http.get(path).headers

    assert headers["x-request-id"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"]
    assert headers["cache-control"]


def test_a_body_over_the_limit_is_refused_with_the_safe_headers(tmp_path: Path) -> None:
    with running_gateway(tmp_path, max_body_bytes=1_000) as gateway:
        reply = gateway.http.post("/v1/fragments/search", content=b" " * 2_000)

    assert reply.status_code == 413
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "1000" in reply.json()["detail"]


def test_the_manual_names_every_route_and_needs_no_network(gateway: RunningGateway) -> None:
    page = gateway.http.get("/docs").text
    paths = gateway.http.get("/openapi.json").json()["paths"]

    assert len(paths) >= 6
    assert all(path in page for path in paths)
    assert "<script" not in page
    assert "style=" not in page
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)


def test_a_gateway_without_a_page_serves_the_api(tmp_path: Path) -> None:
    with running_gateway(tmp_path, console=tmp_path / "none", samples=tmp_path / "none") as gateway:
        assert gateway.http.get("/").status_code == 404
        assert gateway.http.get("/v1/models").status_code == 200
