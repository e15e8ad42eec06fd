import json
from pathlib import Path
from typing import Any

import pytest

from colloquy.local.engine_command import (
    CannotStart,
    engine_command,
    engine_environment,
    model_of,
)
from colloquy.profile import Profile, VllmEngine
from tests.unit.registry.checkpoints import write_base


def profile_of(root: Path, **engine: Any) -> Profile:
    return Profile.model_validate(
        {
            "name": "test",
            "about": "Nothing.",
            "root": root,
            "engines": {"one": {"runtime": "vllm", "model": "base@1"} | engine},
            "tasks": {"fragment": {"engine": "one", "protocol": "f2rvlm"}},
        }
    )


def engine_of(profile: Profile) -> VllmEngine:
    engine = profile.engines["one"]
    assert isinstance(engine, VllmEngine)
    return engine


def command_of(profile: Profile) -> list[str]:
    return engine_command(profile, "one", engine_of(profile), Path("/run/one.sock"))


def value_of(command: list[str], option: str) -> str:
    return command[command.index(option) + 1]


def make_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def test_the_engine_listens_on_its_socket_and_fetches_nothing(tmp_path: Path) -> None:
    make_model(tmp_path / "models" / "mine")
    command = command_of(profile_of(tmp_path, model="models/mine"))
    assert value_of(command, "--uds") == "/run/one.sock"
    assert value_of(command, "--allowed-media-domains") == "none.invalid"
    assert "--port" not in command


def test_adapters_get_one_slot_more_than_there_are(tmp_path: Path) -> None:
    make_model(tmp_path / "models" / "mine")
    profile = profile_of(tmp_path, model="models/mine", max_adapters=2, max_lora_rank=64)
    command = command_of(profile)
    assert value_of(command, "--max-loras") == "3"
    assert value_of(command, "--max-lora-rank") == "64"
    environment = engine_environment(profile, engine_of(profile))
    assert environment["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "True"


def test_without_adapters_none_can_be_loaded(tmp_path: Path) -> None:
    make_model(tmp_path / "models" / "mine")
    profile = profile_of(tmp_path, model="models/mine")
    assert "--enable-lora" not in command_of(profile)
    environment = engine_environment(profile, engine_of(profile))
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" not in environment


def test_a_local_model_is_served_offline_under_the_profiles_name_for_it(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "models" / "mine")
    profile = profile_of(tmp_path, model="models/mine", max_images=7)
    command = command_of(profile)
    assert value_of(command, "--model") == str(folder)
    assert value_of(command, "--served-model-name") == "models/mine"
    assert json.loads(value_of(command, "--limit-mm-per-prompt"))["image"] == 7
    assert engine_environment(profile, engine_of(profile))["HF_HUB_OFFLINE"] == "1"


def test_a_hub_model_keeps_its_pinned_revision(tmp_path: Path) -> None:
    profile = profile_of(tmp_path, model="Org/Model", revision="a" * 40)
    command = command_of(profile)
    assert value_of(command, "--model") == "Org/Model"
    assert value_of(command, "--revision") == "a" * 40
    assert "HF_HUB_OFFLINE" not in engine_environment(profile, engine_of(profile))


@pytest.mark.parametrize("model", ["base@1", "var/models/missing", "./missing", "/no/such/model"])
def test_a_model_that_is_not_there_is_named_with_its_field(tmp_path: Path, model: str) -> None:
    profile = profile_of(tmp_path, model=model)
    with pytest.raises(CannotStart, match="engines/one/model: ") as refusal:
        model_of(profile, "one", engine_of(profile))
    assert "\n" not in str(refusal.value)


def test_a_missing_checkpoint_is_told_with_the_folders_that_were_looked_in(tmp_path: Path) -> None:
    # A profile outside `profiles/` has its registry beside it, which a relative name would hide.
    profile = profile_of(tmp_path, model="base@9")
    with pytest.raises(CannotStart) as refusal:
        model_of(profile, "one", engine_of(profile))
    assert f"`base@9` (looked in {tmp_path}/var/registry, {tmp_path}/starter)" in str(refusal.value)


def test_a_number_of_threads_is_kept_and_binds_no_core(tmp_path: Path) -> None:
    make_model(tmp_path / "models" / "mine")
    profile = profile_of(tmp_path, model="models/mine", threads=1, kv_cache_gib=3)
    environment = engine_environment(profile, engine_of(profile))
    assert environment["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["VLLM_CPU_KVCACHE_SPACE"] == "3"


def test_a_checkpoint_with_a_changed_weight_is_not_given_to_an_engine(tmp_path: Path) -> None:
    folder = write_base(tmp_path / "starter")
    profile = profile_of(tmp_path).model_copy(update={"registry": [Path("starter")]})
    assert value_of(command_of(profile), "--model") == str(folder)
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(CannotStart, match=r"engines/one/model: .*another hash"):
        command_of(profile)


def test_an_engine_that_embeds_is_started_as_one(tmp_path: Path) -> None:
    make_model(tmp_path / "models" / "mine")
    profile = Profile.model_validate(
        {
            "name": "test",
            "about": "Nothing.",
            "root": tmp_path,
            "engines": {"one": {"runtime": "vllm", "model": "models/mine", "runner": "pooling"}},
            "tasks": {"embed": {"engine": "one", "protocol": "lamra"}},
        }
    )
    command = command_of(profile)
    assert value_of(command, "--runner") == "pooling"
    assert "--logprobs-mode" not in command
