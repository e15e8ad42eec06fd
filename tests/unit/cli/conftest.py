import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from colloquy.cli import main
from colloquy.local.layout import Layout
from colloquy.local.processes import boot_id, process_of
from colloquy.local.state import StackState
from colloquy.profile import Profile
from tests.doubles.corpus_gateway import CorpusGateway, corpus_gateway


@dataclass
class Standing:
    """A stack that stands, as far as a command can tell: this process supervises a double."""

    url: str
    gateway: CorpusGateway
    profile_path: Path

    def run(self, *words: str) -> int:
        """One command of the command line."""
        return main([*words, "--profile", str(self.profile_path)])


@pytest.fixture
def profile_path(tmp_path: Path) -> Path:
    content = {
        "name": "test",
        "about": "Nothing.",
        "state": str(tmp_path / "var"),
        "engines": {"one": {"runtime": "vllm", "model": "base@1"}},
        "tasks": {"fragment": {"engine": "one", "protocol": "f2rvlm"}},
    }
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="session")
def served() -> Iterator[tuple[str, CorpusGateway]]:
    """One server for all tests; `standing` empties it for each."""
    with corpus_gateway() as server:
        yield server


@pytest.fixture
def standing(profile_path: Path, served: tuple[str, CorpusGateway]) -> Standing:
    url, double = served
    double.empty()
    layout = Layout(Profile.load(profile_path))
    layout.prepare()
    this = process_of(os.getpid())
    assert this is not None
    state = StackState(
        profile="test",
        profile_path=str(profile_path),
        state="ready",
        boot=boot_id(),
        supervisor=(this.identity.pid, this.identity.started),
        api_url=url,
    )
    state.write(layout.state_file)
    return Standing(url, double, profile_path)
