"""Indexers in processes of their own, which can be killed."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.integration.indexer.stack import HOP, wait_for

ROOT = Path(__file__).parents[3]
_PROFILE = """
name: crashes
about: Stores of their own for a test that kills what uses them.
state: {state}
engines:
  e: {{runtime: openai, url: "http://127.0.0.1:9", model: none}}
tasks:
  split: {{engine: e, protocol: f2rvlm, tolerant: true}}
spaces:
  clip: {{kind: open_clip, model: clip@1}}
endpoints:
  retriever: {{listen: "{retriever}", url: "http://{retriever}"}}
  generator: {{listen: "{generator}", url: "http://{generator}"}}
retriever: {{}}
indexer:
  lease_s: 2
  poll_s: 0.05
  sweep_every_s: 0.5
  longest_wait_s: 0.2
  in_flight: 16
  upsert_fragments: 8
"""


@dataclass
class Processes:
    """Starts `python -m services.indexer` on one profile, kills it, starts it again."""

    profile: Path
    path: Path
    running: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    def start(self) -> "subprocess.Popen[bytes]":
        environment = os.environ | {
            "COLLOQUY_PROFILE": str(self.profile),
            "COLLOQUY_HOP_SECRET": HOP,
            "COLLOQUY_BLOB_KEY": "blob-key-of-the-tests",
            "PYTHONPATH": str(ROOT),
        }
        with (self.profile.parent / "indexer.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "services.indexer"], cwd=ROOT, env=environment, stderr=log
            )
        self.running.append(process)
        wait_for(lambda: self.answers() or process.poll() is not None, within_s=60)
        assert process.poll() is None, (self.profile.parent / "indexer.log").read_text()
        return process

    def kill(self) -> None:
        process = self.running.pop()
        process.send_signal(signal.SIGKILL)
        process.wait()

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url="http://indexer",
            transport=httpx.HTTPTransport(uds=str(self.path)),
            headers={"x-colloquy-hop-secret": HOP},
            timeout=30,
        )

    def answers(self) -> bool:
        """Whether it serves: before its ledger is open nobody is connected to it."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(5)
            try:
                probe.connect(str(self.path))
                probe.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                return b" 204 " in probe.recv(64)
            except OSError:
                return False


@contextmanager
def processes(folder: Path, state: Path, retriever: str, generator: str) -> Iterator[Processes]:
    """Around `http://host:port` of a retriever and a generator."""
    profile = folder / "profile.yaml"
    profile.write_text(
        _PROFILE.format(
            state=state,
            retriever=retriever.removeprefix("http://"),
            generator=generator.removeprefix("http://"),
        )
    )
    started = Processes(profile, state / "run" / "indexer.sock")
    try:
        yield started
    finally:
        while started.running:
            started.kill()
