"""A stack that `colloquy up` brought up, as tests use it."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import httpx
import yaml

from colloquy.local.control import Stack
from colloquy.local.processes import Identity, family, is_alive, processes
from colloquy.local.state import ChildState, StackState
from colloquy.profile import Profile
from tests.e2e.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
COLLOQUY = (sys.executable, "-m", "colloquy.cli")
_LOOK_AGAIN_S = 0.1
# What a killed indexer held is another's so soon: the rest of what was sent waits for it.
_LEASE_S = 5.0
# An engine here is stuck sooner than a user's: its longest step takes a second, not many.
STUCK_AFTER_S = 20
SAMPLES = ROOT / "starter" / "samples"
# Of the sample corpus, one dialogue in so many, beside those that answer its first queries.
_ONE_IN = 20
_QUERIES = 3


@dataclass(frozen=True)
class LocalStack:
    """A running stack with a state folder and a port of its own."""

    profile_path: Path

    @property
    def profile(self) -> Profile:
        return Profile.load(self.profile_path)

    @property
    def control(self) -> Stack:
        return Stack(self.profile, self.profile_path)

    @property
    def state(self) -> StackState:
        state = self.control.state()
        assert state is not None, "the stack is down"
        return state

    @property
    def api_url(self) -> str:
        return self.state.api_url

    @property
    def page_url(self) -> str:
        """With the token that lets the page change things."""
        return self.state.page_url

    @property
    def token(self) -> str:
        assert self.state.page_token is not None
        return self.state.page_token

    def client(self, timeout_s: float = 120.0) -> httpx.Client:
        """Calls the gateway as the page does."""
        headers = {"authorization": f"Bearer {self.token}"}
        return httpx.Client(
            base_url=self.api_url, headers=headers, timeout=timeout_s, trust_env=False
        )

    def child(self, name: str) -> ChildState:
        return next(child for child in self.state.children if child.name == name)

    def family_of(self, name: str) -> set[Identity]:
        """A child's processes, all of them."""
        pid = self.child(name).pid
        assert pid is not None, f"{name} does not run"
        return family(processes(), pid, ())

    def is_ready(self) -> bool:
        state = self.control.state()
        return state is not None and state.state == "ready"

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Runs `colloquy` on this stack."""
        command, *rest = arguments
        return subprocess.run(
            [*COLLOQUY, command, "--profile", str(self.profile_path), *rest],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=os.environ | {"COLUMNS": "200"},
            timeout=600,
            check=False,
        )


def write_profile(folder: Path, name: str = "starter", *, engine_url: str | None = None) -> Path:
    """A copy of a profile of the repository whose state and port are its own.

    Args:
        engine_url: of a server that stands in for the engine; then no other engine runs, and the
            stack finds by CLIP and words.
    """
    content = yaml.safe_load((ROOT / "profiles" / f"{name}.yaml").read_text(encoding="utf-8"))
    if engine_url is not None:
        del content["reranker"], content["engines"]["embedder"], content["spaces"]["lamra"]
        content["retriever"] = {}  # weights of a space that is not there are refused
        content["tasks"] = {"fragment": content["tasks"]["fragment"] | {"checkpoint": None}}
        content["engines"]["starter"] |= {"url": engine_url, "max_model_len": 4_096}
        content["indexer"]["lease_s"] = _LEASE_S
    for engine in content["engines"].values():
        engine["stuck_after_s"] = STUCK_AFTER_S
    content |= {"root": str(ROOT), "state": str(folder / "var")}
    # Tests ask as fast as they can, all from one place.
    quota = {"requests_per_s": 10_000.0, "burst": 10_000}
    samples = write_samples(folder)
    content["gateway"] |= {"port": free_port(), "tenant": quota, "samples": str(samples)}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def write_samples(folder: Path) -> Path:
    """The sample dialogues, and so much of the sample corpus as a test of the demo has time for."""
    corpus = folder / "samples" / "corpus"
    corpus.mkdir(parents=True)
    shutil.copy(SAMPLES / "dialogues.json", corpus.parent)
    queries = Path(shutil.copy(SAMPLES / "corpus" / "queries.jsonl", corpus))
    with queries.open(encoding="utf-8") as lines:
        asked = [json.loads(line) for line in islice(lines, _QUERIES)]
    gold = {one["dialogue_id"] for query in asked for one in query["gold"]}
    with (SAMPLES / "corpus" / "dialogues.ndjson").open(encoding="utf-8") as lines:
        kept = [
            line
            for place, line in enumerate(lines)
            if place % _ONE_IN == 0 or json.loads(line)["id"] in gold
        ]
    (corpus / "dialogues.ndjson").write_text("".join(kept), encoding="utf-8")
    return corpus.parent


def until(what: Callable[[], object], *, within_s: float) -> float:
    """Waits for `what` to be true; returns the seconds that it took."""
    began = time.monotonic()
    while not what():
        waited_s = time.monotonic() - began
        assert waited_s < within_s, f"not within {within_s:.0f} s"
        time.sleep(_LOOK_AGAIN_S)
    return time.monotonic() - began


def living(who: set[Identity]) -> set[Identity]:
    return {identity for identity in who if is_alive(identity)}
