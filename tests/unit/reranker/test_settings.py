from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from colloquy.profile import Profile, ProfileError, Secrets
from services.reranker.settings import Settings

SECRETS = Secrets(hop=SecretStr("h" * 32), blob_key=SecretStr("b" * 32))
PROFILE = """
name: test
about: a test
engines:
  writes: {runtime: vllm, model: base@1, device: cpu, max_adapters: 2}
tasks:
  fragment: {engine: writes, protocol: f2rvlm}
  rank: {engine: writes, protocol: lamra, checkpoint: rank, family: qwen2.5-vl}
"""


def profile(tmp_path: Path, more: str, text: str = PROFILE) -> Profile:
    path = tmp_path / "test.yaml"
    path.write_text(text + more)
    return Profile.load(path)


def test_the_reranker_gets_its_task_and_engine_alone(tmp_path: Path) -> None:
    settings = Settings.of(profile(tmp_path, "reranker: {candidates_at_once: 3}"), SECRETS)

    assert settings.task.checkpoint == "rank"
    assert settings.engine.address.endswith("engine-writes.sock")
    assert settings.listen.endswith("reranker.sock")
    assert settings.tuning.candidates_at_once == 3


def test_an_unknown_knob_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="candidate_at_once"):
        Settings.of(profile(tmp_path, "reranker: {candidate_at_once: 3}"), SECRETS)


def test_a_profile_without_a_reranker_has_nothing_to_serve(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="runs no reranker"):
        Settings.of(profile(tmp_path, ""), SECRETS)
