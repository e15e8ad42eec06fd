"""Calls between services, over real sockets."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import SecretStr

from colloquy.contracts.contract import Contract
from colloquy.contracts.problem import Fault
from colloquy.servicekit.app import create_service
from colloquy.servicekit.calls import ServiceClient
from colloquy.servicekit.context import enter_request, leave_request, request_id
from colloquy.servicekit.deadlines import current_deadline, start_deadline
from colloquy.servicekit.metrics import CallMetrics
from colloquy.servicekit.problems import (
    BadImage,
    DeadlineExceeded,
    Overloaded,
    ServiceError,
    Unavailable,
    UpstreamFailed,
)
from colloquy.servicekit.testing import serve_in_thread

pytestmark = pytest.mark.integration

SECRET = SecretStr("hop")


class Number(Contract):
    n: int


class Context(Contract):
    request_id: str
    left_ms: int


def numbers_router() -> APIRouter:
    router = APIRouter()

    @router.post("/v1/double")
    async def double(number: Number) -> Number:
        return Number(n=2 * number.n)

    @router.get("/v1/context")
    async def context() -> Context:
        deadline = current_deadline()
        assert deadline is not None
        return Context(request_id=request_id(), left_ms=deadline.left_ms())

    @router.get("/v1/busy")
    async def busy() -> Number:
        raise Overloaded("full", retry_after_s=4)

    @router.get("/v1/image")
    async def image() -> Number:
        raise BadImage("it is cut off", faults=[Fault(at="body/x", why="it is cut off")])

    @router.get("/v1/bug")
    async def bug() -> Number:
        raise RuntimeError

    @router.get("/v1/odd")
    async def odd() -> JSONResponse:
        return JSONResponse({"m": "the-words-of-a-user"})

    @router.get("/v1/plain")
    async def plain() -> PlainTextResponse:
        return PlainTextResponse("Internal Server Error", 500)

    @router.get("/v1/slow")
    async def slow() -> Number:
        await asyncio.sleep(10)
        return Number(n=1)

    return router


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    app = create_service(
        "numbers",
        routers=[numbers_router()],
        lifespan=None,
        registry=CollectorRegistry(),
        hop_secret=SECRET,
        max_body_bytes=10_000,
    )
    with serve_in_thread(app, socket_path=tmp_path_factory.mktemp("s") / "n.sock") as address:
        yield address


def client(address: str, **options: object) -> ServiceClient:
    return ServiceClient(
        address,
        hop_secret=SECRET,
        service_name="numbers",
        **options,  # type: ignore[arg-type]
    )


async def test_a_call_sends_and_reads_contracts(address: str) -> None:
    async with client(address) as numbers:
        assert (await numbers.call("POST /v1/double", Number(n=4), Number)).n == 8


async def test_the_request_id_and_the_deadline_travel(address: str) -> None:
    token = enter_request("r-7")
    async with client(address) as numbers, start_deadline(5_000):
        context = await numbers.get("/v1/context", Context)
    leave_request(token)

    assert context.request_id == "r-7"
    assert 4_000 < context.left_ms <= 5_000


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/busy", Overloaded),
        ("/v1/image", BadImage),
        ("/v1/bug", UpstreamFailed),
        ("/v1/odd", UpstreamFailed),
        ("/v1/plain", UpstreamFailed),
        ("/v1/missing", UpstreamFailed),
    ],
)
async def test_a_failure_comes_back_as_what_it_was(
    address: str, path: str, kind: type[ServiceError]
) -> None:
    async with client(address) as numbers:
        with pytest.raises(kind) as failed:
            await numbers.get(path, Number)

    assert type(failed.value) is kind
    assert "the-words-of-a-user" not in repr(failed.value)


async def test_retry_after_and_faults_come_back(address: str) -> None:
    async with client(address) as numbers:
        with pytest.raises(Overloaded) as busy:
            await numbers.get("/v1/busy", Number)
        with pytest.raises(BadImage) as bad:
            await numbers.get("/v1/image", Number)

    assert busy.value.retry_after_s == 4
    assert bad.value.faults == [Fault(at="body/x", why="it is cut off")]


async def test_a_wrong_secret_is_our_failure_not_the_callers(address: str) -> None:
    stranger = ServiceClient(address, hop_secret=SecretStr("no"), service_name="numbers")
    async with stranger:
        with pytest.raises(UpstreamFailed):
            await stranger.get("/v1/context", Context)


async def test_a_call_ends_with_the_deadline(address: str) -> None:
    started = time.perf_counter()
    async with client(address) as numbers:
        with pytest.raises(DeadlineExceeded):
            async with start_deadline(200):
                await numbers.get("/v1/slow", Number)

    assert time.perf_counter() - started < 1


async def test_a_call_outside_any_deadline_ends_too(address: str) -> None:
    async with client(address, default_timeout_s=0.2) as numbers:
        with pytest.raises(DeadlineExceeded):
            await numbers.get("/v1/slow", Number)


@pytest.mark.parametrize("where", ["unix", "tcp"])
async def test_nobody_there_is_unavailable_with_a_time_to_retry(tmp_path: Path, where: str) -> None:
    address = f"unix:{tmp_path}/none.sock" if where == "unix" else "http://127.0.0.1:9"
    async with client(address) as numbers:
        with pytest.raises(Unavailable) as failed:
            await numbers.get("/v1/context", Context)

    assert failed.value.retry_after_s
    assert str(tmp_path) not in failed.value.detail


async def test_a_service_that_comes_back_is_found_again(tmp_path: Path) -> None:
    app = create_service(
        "numbers",
        routers=[numbers_router()],
        lifespan=None,
        registry=CollectorRegistry(),
        hop_secret=SECRET,
        max_body_bytes=10_000,
    )
    path = tmp_path / "n.sock"
    async with client(f"unix:{path}") as numbers:
        for _ in range(2):
            with serve_in_thread(app, socket_path=path):
                assert (await numbers.call("/v1/double", Number(n=1), Number)).n == 2
            with pytest.raises(Unavailable):
                await numbers.call("/v1/double", Number(n=1), Number)


class Rude:
    """A listener that answers each connection by `answer`, and counts them."""

    def __init__(self, path: Path, answer: Callable[[socket.socket], None]) -> None:
        self.calls = 0
        self._answer = answer
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.calls += 1
            with connection:
                self._answer(connection)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


async def test_a_service_that_breaks_off_is_not_asked_twice(tmp_path: Path) -> None:
    rude = Rude(tmp_path / "r.sock", lambda connection: connection.recv(10) and None)
    async with client(f"unix:{tmp_path}/r.sock") as numbers:
        with pytest.raises(Unavailable):
            await numbers.call("/v1/double", Number(n=1), Number)
    rude.close()

    assert rude.calls == 1


async def test_an_answer_that_is_not_http_is_a_failure_of_the_service(tmp_path: Path) -> None:
    def babble(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"\x00\x01 not http at all\r\n\r\n")

    rude = Rude(tmp_path / "r.sock", babble)
    async with client(f"unix:{tmp_path}/r.sock") as numbers:
        with pytest.raises(ServiceError) as failed:
            await numbers.call("/v1/double", Number(n=1), Number)
    rude.close()

    assert failed.value.status in (502, 503)


async def test_calls_are_timed_by_outcome(address: str) -> None:
    registry = CollectorRegistry()
    async with client(address, metrics=CallMetrics(registry, "gateway")) as numbers:
        await numbers.call("/v1/double", Number(n=1), Number)
        with pytest.raises(Overloaded):
            await numbers.get("/v1/busy", Number)
    text = generate_latest(registry).decode()

    labels = 'dependency="numbers",operation="{}",outcome="{}"'
    for operation, outcome in (("POST /v1/double", "ok"), ("GET /v1/busy", "overloaded")):
        assert f"gateway_call_seconds_count{{{labels.format(operation, outcome)}}} 1.0" in text
