"""`serve` in a process of its own."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from typing import Self

import httpx
import pytest

from colloquy.servicekit.serving import CannotServe, bind

pytestmark = pytest.mark.integration

PROGRAM = """
import asyncio, sys
from fastapi import APIRouter
from prometheus_client import CollectorRegistry
from colloquy.servicekit.app import create_service
from colloquy.servicekit.serving import serve

router = APIRouter()

@router.get("/slow")
async def slow() -> int:
    await asyncio.sleep(0.7)
    return 1

@router.get("/endless")
async def endless() -> int:
    await asyncio.sleep(60)
    return 1

serve(create_service("s", routers=[router], lifespan=None, registry=CollectorRegistry(),
      hop_secret=None, max_body_bytes=1000), sys.argv[1], graceful_s=2)
"""


class Program:
    """The program above, started on a socket; ended with the test."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, f"unix:{path}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self.client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(path)), base_url="http://s", timeout=10
        )
        give_up = time.monotonic() + 30
        while not self._answers():
            assert time.monotonic() < give_up
            assert self.process.poll() is None
            time.sleep(0.05)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(self.path))
            except OSError:
                return False
        return True

    def signal_soon(self, number: signal.Signals) -> None:
        Timer(0.2, self.process.send_signal, [number]).start()

    def output(self) -> str:
        return self.process.communicate(timeout=10)[1].decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path / "s.sock") as program:
        yield program


def test_the_socket_is_open_to_its_owner_alone(program: Program) -> None:
    assert program.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_a_running_request_finish_and_ends_with_0(
    program: Program, number: signal.Signals
) -> None:
    program.signal_soon(number)

    assert program.client.get("/slow").json() == 1
    output = program.output()
    assert program.process.returncode == 0
    assert not program.path.exists()
    assert "Traceback" not in output


def test_a_request_without_end_is_cut_after_the_grace(program: Program) -> None:
    started = time.monotonic()
    program.signal_soon(signal.SIGTERM)

    reply = program.client.get("/endless")

    assert reply.status_code == 503
    assert reply.json()["type"] == "urn:colloquy:problem:unavailable"
    program.output()
    assert program.process.returncode == 0
    assert time.monotonic() - started < 5


def test_a_socket_that_a_dead_server_left_is_replaced(program: Program) -> None:
    program.process.kill()
    program.output()
    assert program.path.exists()

    bind(f"unix:{program.path}").close()


def test_a_socket_that_serves_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    first = bind(f"unix:{path}")
    first.listen()

    with pytest.raises(CannotServe, match="somebody serves there already"):
        bind(f"unix:{path}")

    first.close()


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    path.write_text("precious")

    with pytest.raises(CannotServe, match="a file is in the way"):
        bind(f"unix:{path}")

    assert path.read_text() == "precious"


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CannotServe, match=address):
            bind(address)


@pytest.mark.parametrize("listen", ["", "nowhere", "127.0.0.1:http", "127.0.0.1:99999"])
def test_an_address_that_is_none_is_named(listen: str) -> None:
    with pytest.raises(CannotServe):
        bind(listen)
