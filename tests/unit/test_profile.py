import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from colloquy.local.plan import services_of
from colloquy.profile import Profile, ProfileError, Secrets, is_loopback

MINIMAL: dict[str, Any] = {
    "name": "test",
    "about": "for tests",
    "engines": {"one": {"runtime": "vllm", "model": "base@1", "max_adapters": 1}},
    "tasks": {"fragment": {"engine": "one", "checkpoint": "fragment", "protocol": "f2rvlm"}},
}
FOREIGN: dict[str, Any] = {"runtime": "openai", "url": "https://models.example", "model": "m"}
Write = Callable[[Any], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(content: Any) -> Path:
        folder = tmp_path / "profiles"
        folder.mkdir(exist_ok=True)
        path = folder / "test.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return _write


def _changed(place: str, value: Any) -> dict[str, Any]:
    data = copy.deepcopy(MINIMAL)
    *parents, last = place.split("/")
    section = data
    for name in parents:
        section = section.setdefault(name, {})
    section[last] = value
    return data


def _refusal(path: Path) -> str:
    with pytest.raises(ProfileError) as refusal:
        Profile.load(path)
    message = str(refusal.value)
    assert message.startswith(str(path))
    return message.removeprefix(f"{path}: ")


def test_every_shipped_profile_loads() -> None:
    profiles = sorted((Path(__file__).parents[2] / "profiles").glob("*.yaml"))
    assert profiles
    for path in profiles:
        assert Profile.load(path).name == path.stem


def test_folders_are_relative_to_the_checkout(write: Write, tmp_path: Path) -> None:
    profile = Profile.load(write(MINIMAL))
    assert profile.state_dir == tmp_path / "var"
    assert profile.registry_dirs == [tmp_path / "var/registry", tmp_path / "starter"]


def test_a_profile_outside_a_checkout_keeps_its_state_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(MINIMAL))
    assert Profile.load(path).state_dir == tmp_path / "var"


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("nmae", "x", "nmae: Extra inputs are not permitted"),
        ("name", "Not A Name", "name: String should match pattern"),
        ("engines", {}, "engines: Dictionary should have at least 1 item"),
        ("engines/one/max_runing", 3, "engines/one/max_runing: Extra inputs"),
        ("engines/one/max_running", 0, "engines/one/max_running: Input should be greater than 0"),
        ("engines/one/runtime", "ollama", "engines/one: Input tag 'ollama'"),
        ("engines/one/max_lora_rank", 7, "engines/one/max_lora_rank: Input should be 8, 16"),
        ("engines/one/url", "models:8000", "engines/one/url: String should match pattern"),
        ("engines/../x", {}, "engines/..: "),
        ("tasks/fragment/engine", "two", "tasks/fragment/engine: there is no engine `two`"),
        ("tasks/fragment/protocol", "x", "tasks/fragment/protocol: Input should be 'f2rvlm'"),
        ("tasks/fragment/checkpoint", "../x", "tasks/fragment/checkpoint: String should match"),
        ("tasks/sing", {"engine": "one", "protocol": "f2rvlm"}, "tasks/sing/[key]: Input should"),
        ("engines/one/max_adapters", 0, "engines/one/max_adapters is 0, but tasks bind 1 adapters"),
        (
            "engines/one/capabilities",
            {"images": False},
            "tasks/fragment: engine `one` does not see pictures",
        ),
        ("engines/one/capabilities", {"grammar": "none"}, "set `tolerant: true`"),
        ("endpoints/generator", {"listen": "0.0.0.0:1"}, "give both `listen` and `url`"),
        ("endpoints/generator", {"listen": "x", "url": "http://x"}, "endpoints/generator/listen"),
        ("media/workers", 0, "media/workers: Input should be greater than 0"),
    ],
)
def test_a_fault_names_the_field_and_the_reason(
    write: Write, place: str, value: Any, said: str
) -> None:
    assert said in _refusal(write(_changed(place, value)))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is not a mapping"),
        ("- a\n- b\n", "is not a mapping"),
        ("1: x\n", "is not a mapping of named fields"),
        ("name: [", "is not YAML: line 1"),
        ("name: a\nabout: x\nname: b\n", "is not YAML: line 3: `name` stands twice"),
        ("engines: {a: {model: x, model: y}}", "`model` stands twice"),
        ("? [a, b]\n: x\n", "is not YAML"),
        ("name: !!python/object/apply:os.system [ls]", "is not YAML"),
        ("[" * 5_000, "is not YAML"),
        ("name: \x00", "is not YAML"),
    ],
)
def test_what_is_no_profile_is_refused_in_one_line(write: Write, content: str, said: str) -> None:
    message = _refusal(write(content))
    assert said in message
    assert "\n" not in message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in _refusal(tmp_path / "none.yaml")
    assert "cannot be read: Is a directory" in _refusal(tmp_path)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("name: caf\xe9".encode("latin-1"))
    assert "is not UTF-8 text" in _refusal(latin)


def test_a_foreign_server_serves_tolerantly_and_without_adapters(write: Write) -> None:
    data = _changed("engines", {"one": FOREIGN})
    data["tasks"] = {"fragment": {"engine": "one", "protocol": "f2rvlm", "tolerant": True}}
    profile = Profile.load(write(data))
    assert profile.address_of_engine("one") == "https://models.example"

    data["tasks"]["fragment"]["checkpoint"] = "fragment"
    assert "max_adapters is 0" in _refusal(write(data))


def test_services_and_engines_meet_on_sockets_that_fit(write: Write, tmp_path: Path) -> None:
    profile = Profile.load(write(_changed("state", "é" * 40)))
    for address in (profile.address_of("generator"), profile.address_of_engine("one")):
        assert address.startswith("unix:/")
        assert len(os.fsencode(address.removeprefix("unix:"))) <= 107
    assert Profile.load(write(_changed("state", "é" * 41))).run_dir != profile.run_dir


def test_an_endpoint_replaces_the_socket(write: Write) -> None:
    endpoint = {"listen": "0.0.0.0:8000", "url": "http://generator:8000/"}
    profile = Profile.load(write(_changed("endpoints/generator", endpoint)))
    assert profile.address_of("generator") == "http://generator:8000"


def test_secrets_come_from_the_environment_and_a_missing_one_is_named(write: Write) -> None:
    data = _changed("engines/far", {**FOREIGN, "api_key_secret": "FAR_KEY"})
    profile = Profile.load(write(data))
    complete = {"COLLOQUY_HOP_SECRET": "h" * 16, "COLLOQUY_BLOB_KEY": "b" * 16, "FAR_KEY": "k"}

    found = Secrets.from_environment(profile, complete)
    assert found.engine_keys["far"].get_secret_value() == "k"
    assert found.page_token is None
    assert "k" not in repr(found.engine_keys.values())
    for name in complete:
        without = {key: value for key, value in complete.items() if key != name}
        with pytest.raises(ProfileError, match=f"the environment has no {name}"):
            Secrets.from_environment(profile, without)
    for name in ("COLLOQUY_HOP_SECRET", "COLLOQUY_BLOB_KEY"):
        with pytest.raises(ProfileError, match=f"{name} is shorter than 16 characters"):
            Secrets.from_environment(profile, complete | {name: "guess"})


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *[(host, True) for host in ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost")],
        *[(host, False) for host in ("0.0.0.0", "::", "10.0.0.1", "localhost.example", "", "[")],
    ],
)
def test_loopback_is_what_only_this_machine_reaches(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


EMBEDDER: dict[str, Any] = {"runtime": "vllm", "model": "base@1", "runner": "pooling"}
CORPUS: dict[str, Any] = MINIMAL | {
    "engines": MINIMAL["engines"] | {"embedder": EMBEDDER},
    "tasks": MINIMAL["tasks"]
    | {
        "embed": {"engine": "embedder", "protocol": "lamra"},
        "rank": {"engine": "one", "protocol": "lamra"},
    },
    "spaces": {
        "clip": {"kind": "open_clip", "model": "clip@1"},
        "lamra": {"kind": "task"},
    },
    "retriever": {},
    "reranker": {},
    "indexer": {},
}


def test_a_stack_with_collections_names_its_spaces_and_services(write: Write) -> None:
    profile = Profile.load(write(CORPUS))
    assert list(profile.spaces) == ["clip", "lamra"]
    assert services_of(profile) == ["generator", "retriever", "reranker", "indexer"]


def test_a_stack_without_collections_runs_the_generator_alone(write: Write) -> None:
    assert services_of(Profile.load(write(MINIMAL))) == ["generator"]


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("tasks/embed/engine", "one", "tasks/embed: needs a pooling engine, not engine `one`"),
        ("tasks/rank/engine", "embedder", "tasks/rank: needs a writing engine"),
        ("tasks/rank/protocol", "f2rvlm", "tasks/rank/protocol: is `lamra`"),
        ("tasks/fragment/protocol", "lamra", "tasks/fragment/protocol: is `f2rvlm`"),
        ("engines/one/capabilities", {"logprobs": False}, "tasks/rank: engine `one` gives no log"),
        ("engines/embedder/model", "code-kunkun/LamRA-Ret", "trained without M-RoPE"),
        ("indexer", None, "give both"),
        ("spaces", {}, "spaces: a retriever needs at least one"),
        ("tasks", MINIMAL["tasks"], "spaces/lamra: there is no task `embed`"),
    ],
)
def test_what_collections_lack_is_said_with_its_place(
    write: Write, place: str, value: Any, said: str
) -> None:
    data = copy.deepcopy(CORPUS)
    *parents, last = place.split("/")
    section = data
    for name in parents:
        section = section[name]
    section[last] = value
    assert said in _refusal(write(data))


def test_the_faithful_lamra_is_taken(write: Write) -> None:
    data = copy.deepcopy(CORPUS)
    data["engines"]["embedder"]["model"] = "code-kunkun/LamRA-Ret-Qwen2.5VL-7b"
    assert Profile.load(write(data)).tasks["embed"].engine == "embedder"
