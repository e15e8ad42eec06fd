from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from colloquy.profile import Profile, ProfileError, Secrets
from colloquy.sections import ClipSpace
from services.retriever.__main__ import check
from services.retriever.settings import Settings

KEYS = Secrets(hop=SecretStr("h" * 16), blob_key=SecretStr("b" * 16))
PROFILE: dict[str, Any] = {
    "name": "test",
    "about": "…",
    "engines": {
        "writes": {"runtime": "vllm", "model": "base@1"},
        "pools": {"runtime": "vllm", "model": "base@1", "runner": "pooling", "max_adapters": 1},
    },
    "tasks": {
        "fragment": {"engine": "writes", "protocol": "f2rvlm"},
        "embed": {"engine": "pools", "protocol": "lamra", "checkpoint": "embed"},
    },
    "spaces": {
        "clip": {"kind": "open_clip", "model": "clip@1"},
        "lamra": {"kind": "task"},
    },
    "retriever": {},
    "indexer": {},
}


def profile(**fields: Any) -> Profile:
    return Profile.model_validate(PROFILE | fields)


def test_only_the_engines_of_its_spaces_are_the_retrievers() -> None:
    settings = Settings.of(profile(), KEYS)
    assert settings.tasks.keys() == {"embed"}
    assert settings.engines.keys() == {"pools"}
    assert settings.listen.startswith("unix:")

    clip_alone = Settings.of(profile(spaces={"clip": PROFILE["spaces"]["clip"]}), KEYS)
    assert clip_alone.engines == {}


@pytest.mark.parametrize(
    "section",
    [
        {"stoer": {}},
        {"encoding": {"batch": 1}},
        {"patience": 0},
        {"bm25": {"b": 2}},
        {"fusion_weights": {"clip": 0}},
        {"fusion_weights": {"clip": float("inf")}},
    ],
)
def test_an_unknown_or_wrong_knob_is_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings.of(profile(retriever=section), KEYS)


def test_methods_are_weighed_by_name() -> None:
    weights = {"lamra": 2.5, "bm25": 0.5}
    settings = Settings.of(profile(retriever={"fusion_weights": weights}), KEYS)
    assert settings.tuning.fusion_weights == weights


@pytest.mark.parametrize("told", [check, lambda profile: Settings.of(profile, KEYS)])
def test_a_weight_of_no_method_is_refused(told: Callable[[Profile], object]) -> None:
    with pytest.raises(ProfileError) as refused:
        told(profile(retriever={"fusion_weights": {"lambda": 2}}))
    assert str(refused.value) == (
        "retriever/fusion_weights/lambda: is no method of search; clip, lamra, bm25 are"
    )


def test_the_folder_of_a_model_is_relative_to_the_checkout(tmp_path: Path) -> None:
    (tmp_path / "models" / "clip").mkdir(parents=True)

    def model(name: str) -> str:
        spaces = {"clip": {"kind": "open_clip", "model": name}}
        space = Settings.of(profile(root=tmp_path, spaces=spaces), KEYS).spaces["clip"]
        assert isinstance(space, ClipSpace)
        return space.model

    assert model("models/clip") == str((tmp_path / "models" / "clip").resolve())
    assert model("ViT-L-14/openai") == "ViT-L-14/openai"
    assert model("clip@1") == "clip@1"


def test_the_key_of_a_vector_store_comes_from_the_environment() -> None:
    store = {"kind": "server", "url": "http://q:6333", "api_key_secret": "QDRANT_KEY"}
    served = profile(retriever={"store": store})
    environment = {"COLLOQUY_HOP_SECRET": "h" * 16, "COLLOQUY_BLOB_KEY": "b" * 16}

    with pytest.raises(ProfileError, match="QDRANT_KEY"):
        Settings.of(served, Secrets.from_environment(served, environment))
    secrets = Secrets.from_environment(served, environment | {"QDRANT_KEY": "k"})

    key = Settings.of(served, secrets).store_key
    assert key is not None
    assert key.get_secret_value() == "k"
    assert Settings.of(profile(), KEYS).store_key is None
