"""What every service does to a request, over a real server."""

import asyncio
import gzip
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import StreamingResponse
from prometheus_client import CollectorRegistry
from pydantic import Field, SecretStr

from colloquy.contracts.contract import Contract
from colloquy.servicekit.app import create_service
from colloquy.servicekit.calls import ServiceClient
from colloquy.servicekit.context import request_id
from colloquy.servicekit.deadlines import current_deadline
from colloquy.servicekit.problems import Overloaded
from colloquy.servicekit.testing import serve_in_thread

pytestmark = pytest.mark.integration

SECRET = SecretStr("hop")
HOP = {"x-colloquy-hop-secret": "hop"}
JSON = {"content-type": "application/json"}
MAX_BODY = 200_000
USER_WORDS = "the-words-of-a-user"


class Note(Contract):
    text: str = ""
    tags: list[str] = Field(default_factory=list)


class Seen(Contract):
    request_id: str
    left_ms: int | None


class Events:
    """What handlers saw, read by tests in another thread."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.cancelled = threading.Event()
        self.produced = 0


def notes_router(events: Events, upstream: list[ServiceClient]) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/notes")
    async def keep(note: Note) -> Note:
        return note

    @router.post("/v1/slow")
    async def slow(note: Note) -> Note:
        events.started.set()
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            events.cancelled.set()
            raise
        return note

    @router.get("/v1/slow")
    async def slow_get() -> Note:
        return await slow(Note())

    @router.post("/v1/relay")
    async def relay(note: Note) -> Note:
        return await upstream[0].call("POST /v1/slow", note, Note)

    @router.post("/v1/raw")
    async def raw(request: Request) -> dict[str, int]:
        total = 0
        async for chunk in request.stream():
            total += len(chunk)
        return {"bytes": total}

    @router.get("/v1/stream")
    async def stream() -> StreamingResponse:
        async def numbers() -> AsyncIterator[bytes]:
            try:
                for n in range(10_000):
                    events.produced = n
                    events.started.set()
                    yield b"%d\n" % n
                    await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                events.cancelled.set()
                raise

        return StreamingResponse(numbers())

    @router.get("/v1/things/{name}")
    async def seen(name: str) -> Seen:
        deadline = current_deadline()
        return Seen(request_id=request_id(), left_ms=deadline.left_ms() if deadline else None)

    @router.get("/v1/boom")
    async def boom() -> Note:
        raise RuntimeError(f"{USER_WORDS} in /etc/passwd at 0x7f00aa")

    @router.get("/v1/busy")
    async def busy() -> Note:
        raise Overloaded("the queue is full", retry_after_s=3, waiting=9)

    @router.get("/v1/late-boom")
    async def late_boom() -> StreamingResponse:
        async def broken() -> AsyncIterator[bytes]:
            yield b"first"
            raise RuntimeError(USER_WORDS)

        return StreamingResponse(broken())

    return router


def service(events: Events, upstream: list[ServiceClient] | None = None, **options: Any) -> FastAPI:
    settings = {"hop_secret": SECRET, "max_body_bytes": MAX_BODY} | options

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        for client in upstream or []:
            await client.close()

    return create_service(
        "notes",
        routers=[notes_router(events, upstream or [])],
        lifespan=lifespan,
        registry=CollectorRegistry(),
        **settings,
    )


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def address(events: Events) -> Iterator[str]:
    with serve_in_thread(service(events)) as url:
        yield url


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, headers=HOP, timeout=10) as client:
        yield client


def assert_problem(reply: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = reply.json()
    assert problem["type"] == f"urn:colloquy:problem:{slug}"
    assert problem["status"] == status
    assert problem["request_id"] == reply.headers["x-request-id"]
    for word in (USER_WORDS, "Traceback", "pydantic", "0x7f", "/etc/", "site-packages"):
        assert word not in reply.text
    return problem


# --- bodies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "headers", "status", "slug"),
    [
        (b'{"text": ', JSON, 400, "malformed-json"),
        (b"[" * 100_000, JSON, 400, "malformed-json"),
        (b'{"text": "\xff"}', JSON, 400, "malformed-json"),
        (rb'{"text": "\ud800"}', JSON, 400, "malformed-json"),
        (b'{"text": NaN}', JSON, 400, "malformed-json"),
        (b'{"text": "a", "text": "b"}', JSON, 400, "malformed-json"),
        (b'{"text": 7}', JSON, 422, "invalid-request"),
        (b'{"text": "x", "odd": 1}', JSON, 422, "invalid-request"),
        (b"[]", JSON, 422, "invalid-request"),
        (b"null", JSON, 422, "invalid-request"),
        (b"", JSON, 422, "invalid-request"),
        (b"", {}, 422, "invalid-request"),
        (b'{"text": "x"}', {}, 415, "unsupported-media"),
        (b'{"text": "x"}', {"content-type": "text/plain"}, 415, "unsupported-media"),
        (b"text=x", {"content-type": "application/x-www-form-urlencoded"}, 415, None),
        (gzip.compress(b"{}"), JSON | {"content-encoding": "gzip"}, 415, "unsupported-media"),
        (b'{"text": "' + b"x" * MAX_BODY + b'"}', JSON, 413, "too-large"),
    ],
)
def test_a_wrong_body_is_its_own_problem_and_the_next_request_works(
    client: httpx.Client, body: bytes, headers: dict[str, str], status: int, slug: str | None
) -> None:
    reply = client.post("/v1/notes", content=body, headers=headers)

    assert_problem(reply, status, slug or "unsupported-media")
    assert client.post("/v1/notes", json={"text": "fine"}).json()["text"] == "fine"


def test_malformed_json_says_where(client: httpx.Client) -> None:
    problem = assert_problem(
        client.post("/v1/notes", content=b'{"text":\n  oops}', headers=JSON), 400, "malformed-json"
    )

    assert (problem["line"], problem["column"]) == (2, 3)


def test_a_wrong_field_is_named_by_place_and_reason(client: httpx.Client) -> None:
    problem = assert_problem(
        client.post("/v1/notes", json={"tags": ["a", 5]}), 422, "invalid-request"
    )

    assert problem["faults"] == [{"at": "body/tags/1", "why": "must be a string"}]
    assert problem["detail"] == "body/tags/1: must be a string"


@pytest.mark.parametrize("path", ["/v1/notes", "/v1/raw"])
def test_a_body_that_announces_no_length_is_counted(address: str, path: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(
            f"POST {path} HTTP/1.1\r\nhost: x\r\nx-colloquy-hop-secret: hop\r\n"
            "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n".encode()
        )
        chunk = b"2710\r\n" + b" " * 10_000 + b"\r\n"
        for _ in range(MAX_BODY // 10_000 + 1):
            raw.sendall(chunk)
        answer = raw.recv(4_096)

    assert answer.startswith(b"HTTP/1.1 413")
    assert b"too-large" in answer


def test_a_body_far_over_the_limit_is_refused_before_it_is_sent(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(
            b"POST /v1/notes HTTP/1.1\r\nhost: x\r\nx-colloquy-hop-secret: hop\r\n"
            b"content-type: application/json\r\ncontent-length: 99999999999\r\n\r\n{"
        )
        answer = raw.recv(4_096)

    assert answer.startswith(b"HTTP/1.1 413")


def test_json_with_a_charset_and_capitals_is_json(client: httpx.Client) -> None:
    reply = client.post(
        "/v1/notes", content=b"{}", headers={"content-type": "Application/JSON; charset=utf-8"}
    )

    assert reply.status_code == 200


# --- routes and failures ----------------------------------------------------------------------


def test_an_unknown_address_and_method_are_problems(client: httpx.Client) -> None:
    assert_problem(client.get("/v1/nothing"), 404, "no-such-route")
    assert_problem(client.get("/v1/notes/"), 404, "no-such-route")
    reply = client.put("/v1/boom")
    assert_problem(reply, 405, "method-not-allowed")
    assert reply.headers["allow"] == "GET"


def test_a_bug_tells_its_caller_nothing(client: httpx.Client) -> None:
    problem = assert_problem(client.get("/v1/boom"), 500, "internal")

    assert problem["detail"] == ""


def test_an_expected_failure_carries_its_facts_and_when_to_retry(client: httpx.Client) -> None:
    reply = client.get("/v1/busy")
    problem = assert_problem(reply, 503, "overloaded")

    assert (problem["waiting"], reply.headers["retry-after"]) == (9, "3")


def test_a_stream_that_breaks_is_cut_not_ended(client: httpx.Client) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/v1/late-boom")

    assert client.get("/healthz").status_code == 204


# --- identity ---------------------------------------------------------------------------------


@pytest.mark.parametrize("offered", ["abc-1.2_3", "x" * 64])
def test_a_callers_request_id_is_kept(client: httpx.Client, offered: str) -> None:
    reply = client.get("/v1/things/a", headers={"x-request-id": offered})

    assert reply.headers["x-request-id"] == reply.json()["request_id"] == offered


@pytest.mark.parametrize("offered", ["", "x" * 65, "a b", 'a"b', "<script>"])
def test_what_is_no_request_id_is_replaced(client: httpx.Client, offered: str) -> None:
    reply = client.get("/v1/things/a", headers={"x-request-id": offered})

    assert reply.headers["x-request-id"] not in ("", offered)


@pytest.mark.parametrize("offered", [None, "", "hopp", "ho", "hö".encode("latin-1")])
def test_a_caller_without_the_hop_secret_is_refused(address: str, offered: Any) -> None:
    headers = {} if offered is None else {"x-colloquy-hop-secret": offered}
    with httpx.Client(base_url=address, headers=headers) as stranger:
        assert_problem(stranger.get("/v1/things/a"), 403, "hop-refused")
        assert_problem(stranger.get("/metrics"), 403, "hop-refused")
        assert_problem(stranger.post("/v1/notes", content=b"["), 403, "hop-refused")
        assert stranger.get("/healthz").status_code == 204


def test_the_public_door_ignores_what_only_hops_may_say(events: Events) -> None:
    with (
        serve_in_thread(service(events, hop_secret=None)) as url,
        httpx.Client(base_url=url) as stranger,
    ):
        reply = stranger.get("/v1/things/a", headers={"X-Colloquy-Deadline-Ms": "1"})

    assert reply.json()["left_ms"] is None


# --- deadlines and leaving --------------------------------------------------------------------


def test_a_deadline_ends_the_work_at_zero(client: httpx.Client, events: Events) -> None:
    started = time.perf_counter()
    reply = client.post("/v1/slow", json={"text": "x"}, headers={"x-colloquy-deadline-ms": "300"})
    seconds = time.perf_counter() - started

    assert_problem(reply, 504, "deadline-exceeded")
    # Within 10 ms of the deadline on a quiet machine.
    assert 0.29 < seconds < 1.5
    assert events.cancelled.is_set()


def test_a_service_may_have_a_deadline_of_its_own(events: Events) -> None:
    app = service(events, default_deadline_ms=100)
    with serve_in_thread(app) as url, httpx.Client(base_url=url, headers=HOP) as client:
        assert_problem(client.post("/v1/slow", json={}), 504, "deadline-exceeded")


@pytest.mark.parametrize("value", ["-1", "1.5", "soon", "9" * 10, ""])
def test_a_deadline_that_is_no_number_is_refused(client: httpx.Client, value: str) -> None:
    reply = client.get("/v1/things/a", headers={"x-colloquy-deadline-ms": value})

    assert_problem(reply, 422, "invalid-request")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_handler_is_cancelled_when_its_client_leaves(
    address: str, events: Events, method: str
) -> None:
    content = b"{}" if method == "POST" else None
    with (
        httpx.Client(base_url=address, headers=HOP | JSON) as client,
        pytest.raises(httpx.ReadTimeout),
    ):
        client.request(method, "/v1/slow", content=content, timeout=1.0)

    assert events.started.is_set()
    assert events.cancelled.wait(5)


def test_a_stream_ends_when_its_reader_leaves(client: httpx.Client, events: Events) -> None:
    with client.stream("GET", "/v1/stream") as reply:
        assert next(reply.iter_bytes())

    assert events.cancelled.wait(5)


def test_a_client_that_leaves_cancels_the_service_behind(events: Events, tmp_path: Path) -> None:
    front_events = Events()
    upstream: list[ServiceClient] = []
    with serve_in_thread(service(events), socket_path=tmp_path / "back.sock") as back:
        upstream.append(ServiceClient(back, hop_secret=SECRET, service_name="back"))
        with serve_in_thread(service(front_events, upstream)) as front:
            with (
                httpx.Client(base_url=front, headers=HOP) as client,
                pytest.raises(httpx.ReadTimeout),
            ):
                client.post("/v1/relay", json={}, timeout=1.5)
            assert events.started.is_set()
            assert events.cancelled.wait(5)


def test_one_deadline_reaches_the_service_behind(events: Events, tmp_path: Path) -> None:
    upstream: list[ServiceClient] = []
    with serve_in_thread(service(events), socket_path=tmp_path / "back.sock") as back:
        upstream.append(ServiceClient(back, hop_secret=SECRET, service_name="back"))
        with (
            serve_in_thread(service(Events(), upstream)) as front,
            httpx.Client(base_url=front, headers=HOP) as client,
        ):
            reply = client.post("/v1/relay", json={}, headers={"x-colloquy-deadline-ms": "300"})

    assert_problem(reply, 504, "deadline-exceeded")
    assert events.cancelled.wait(5)


def test_leaving_is_counted_and_answering_is_not_taken_for_it(
    client: httpx.Client, address: str
) -> None:
    with httpx.Client(base_url=address, headers=HOP) as leaver, pytest.raises(httpx.ReadTimeout):
        leaver.post("/v1/slow", json={}, timeout=1.0)
    for _ in range(20):
        assert client.post("/v1/notes", json={}).status_code == 200
    time.sleep(0.1)

    counted = client.get("/metrics").text

    assert 'notes_problems_total{slug="client-gone"} 1.0' in counted
    assert 'notes_request_seconds_count{method="POST",route="/v1/slow",status="499"} 1.0' in counted
    assert 'notes_request_seconds_count{method="POST",route="/v1/notes",status="200"} 20' in counted


# --- metrics ----------------------------------------------------------------------------------


def test_requests_are_counted_by_template_never_by_path(client: httpx.Client) -> None:
    for name in ("a", "b", USER_WORDS):
        client.get(f"/v1/things/{name}")
        client.get(f"/{name}")

    counted = client.get("/metrics").text

    assert 'method="GET",route="/v1/things/{name}",status="200"} 3.0' in counted
    assert 'method="GET",route="unmatched",status="404"} 3.0' in counted
    assert 'notes_problems_total{slug="no-such-route"} 3.0' in counted
    assert USER_WORDS not in counted


def test_two_apps_of_one_process_count_apart(events: Events, client: httpx.Client) -> None:
    with serve_in_thread(service(events)) as url, httpx.Client(base_url=url, headers=HOP) as other:
        other.get("/v1/things/a")

    assert "/v1/things" not in client.get("/metrics").text


def test_large_bodies_stream_through(client: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(19):
            yield b"x" * 10_000

    assert client.post("/v1/raw", content=chunks()).json() == {"bytes": 190_000}


def test_the_description_knows_problems_by_their_media_type(events: Events) -> None:
    schema = service(events).openapi()

    responses = schema["paths"]["/v1/notes"]["post"]["responses"]
    assert list(responses["4XX"]["content"]) == ["application/problem+json"]
    assert "HTTPValidationError" not in json.dumps(schema)
