"""The retriever as it is started: a process of its own, the real embedded store, a Unix socket."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from colloquy.profile import Profile
from tests.integration.retriever.stack import (
    HOP,
    asked,
    fragment,
    numbers,
    open_collection,
    retrieve,
    upsert,
    wait_for,
)

pytestmark = pytest.mark.integration


@pytest.fixture
def profile(tmp_path: Path, clip_registry: Path) -> Iterator[Path]:
    with profile_in(tmp_path, clip_registry) as path:
        yield path


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, clip_registry: Path
) -> Iterator[tuple[Path, httpx.Client]]:
    """One process for the tests that leave it as it is, and its profile."""
    with (
        profile_in(tmp_path_factory.mktemp("running"), clip_registry) as profile,
        started(profile) as (_, client),
    ):
        yield profile, client


@contextmanager
def profile_in(folder: Path, clip_registry: Path) -> Iterator[Path]:
    written = {
        "name": "test",
        "about": "One space.",
        "state": "var",
        "registry": [str(clip_registry)],
        "engines": {"far": {"runtime": "openai", "url": "http://127.0.0.1:9", "model": "m"}},
        "tasks": {"fragment": {"engine": "far", "protocol": "f2rvlm", "tolerant": True}},
        "spaces": {"clip": {"kind": "open_clip", "model": "clip", "threads": 1}},
        "retriever": {},
        "indexer": {},
    }
    path = folder / "profiles" / "test.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(written))
    run = Profile.load(path).run_dir
    run.mkdir(mode=0o700, parents=True)
    yield path
    shutil.rmtree(run)


def environment(profile: Path) -> dict[str, str]:
    return os.environ | {
        "COLLOQUY_PROFILE": str(profile),
        "COLLOQUY_HOP_SECRET": HOP,
        "COLLOQUY_BLOB_KEY": "blob-key-of-the-tests",
    }


def log_of(profile: Path) -> list[str]:
    return profile.with_suffix(".log").read_text().splitlines()


def listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


@contextmanager
def started(profile: Path) -> Iterator[tuple["subprocess.Popen[bytes]", httpx.Client]]:
    log = profile.with_suffix(".log")
    with log.open("ab") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.retriever"],
            env=environment(profile),
            stdout=said,
            stderr=said,
        )
    path = Profile.load(profile).address_of("retriever").removeprefix("unix:")
    transport = httpx.HTTPTransport(uds=path)
    headers = {"x-colloquy-hop-secret": HOP}
    with httpx.Client(
        base_url="http://retriever", transport=transport, headers=headers, timeout=30
    ) as client:

        def ready() -> bool:
            assert process.poll() is None, log.read_text()
            return listens(path) and client.get("/readyz").status_code == 200

        try:
            wait_for(ready, within_s=120)
            yield process, client
        finally:
            process.terminate()
            assert process.wait(timeout=30) == 0, log.read_text()


def test_what_was_answered_is_there_after_a_restart_and_the_log_is_json_lines(
    profile: Path,
) -> None:
    with started(profile) as (_, client):
        open_collection(client)
        upsert(client, *(fragment(n, text) for n, text in enumerate(["red shoes", "fine weather"])))
        before = retrieve(client, query="weather")
        assert retrieve(client, query="红色")["candidates"]
    with started(profile) as (_, client):
        after = retrieve(client, query="weather")
        state = asked(client, "/v1/collections/state", collection="c")
    assert numbers(before)[0] == numbers(after)[0] == 1
    assert before["degraded"] == after["degraded"] == []
    assert [one["score"] for one in before["candidates"]] == [
        one["score"] for one in after["candidates"]
    ]
    assert state["fragments"] == 2
    log = log_of(profile)
    assert log
    assert "weather" not in "".join(log)
    assert all(isinstance(json.loads(line), dict) for line in log)


def test_its_log_holds_no_content(running: tuple[Path, httpx.Client]) -> None:
    profile, client = running
    open_collection(client)
    upsert(client, fragment(1, "a very private sentence"))
    retrieve(client, query="an equally private question")
    assert "private" not in "".join(log_of(profile))


def test_the_section_of_a_profile_is_checked_without_starting(profile: Path) -> None:
    def check() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "services.retriever", "--check"],
            env=environment(profile),
            capture_output=True,
            text=True,
            check=False,
        )

    good = check()
    written: dict[str, Any] = yaml.safe_load(profile.read_text())
    profile.write_text(yaml.safe_dump(written | {"retriever": {"patience": 7}}))
    bad = check()
    profile.write_text(yaml.safe_dump(written | {"retriever": None, "indexer": None}))
    none = check()

    assert good.returncode == 0, good.stderr
    assert good.stdout == "retriever: test would serve clip (open_clip) from edge\n"
    assert bad.returncode == none.returncode == 1
    assert "retriever/patience" in bad.stderr
    assert "runs no retriever" in none.stderr


def test_nobody_without_the_hop_secret_is_answered(running: tuple[Path, httpx.Client]) -> None:
    _, client = running
    for headers in ({"x-colloquy-hop-secret": "guess"}, {"x-colloquy-hop-secret": ""}):
        reply = client.post("/v1/collections/list", json={"tenant": "acme"}, headers=headers)
        assert reply.status_code == 403
