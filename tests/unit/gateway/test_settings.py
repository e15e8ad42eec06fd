"""The gateway's section of the profile."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from colloquy.profile import Profile, ProfileError, Secrets
from colloquy.servicekit.keys import KeyStore
from gateway.__main__ import check, refuse_open_door
from gateway.settings import Knobs, Settings, TenantQuota, knobs_of

PROFILES = Path(__file__).parents[3] / "profiles"
SECRETS = Secrets(hop=SecretStr("hop"), blob_key=SecretStr("a blob key of some length"))


def profile_with(**gateway: Any) -> Profile:
    plain = Profile.load(PROFILES / "starter.yaml")
    return plain.model_copy(update={"gateway": gateway})


@pytest.mark.parametrize("path", sorted(PROFILES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_profile_of_the_repository_holds(path: Path) -> None:
    Settings.of(Profile.load(path), SECRETS)


@pytest.mark.parametrize(
    ("section", "place"),
    [
        ({"prot": 1}, "gateway/prot"),
        ({"port": 0}, "gateway/port"),
        ({"tenant": {"burst": 0}}, "gateway/tenant/burst"),
        ({"default_timeout_ms": 400_000}, "default_timeout_ms"),
        ({"generator": "unix:x"}, "gateway/generator"),
    ],
)
def test_a_wrong_field_is_named_in_one_line(section: dict[str, Any], place: str) -> None:
    with pytest.raises(ProfileError) as refused:
        knobs_of(profile_with(**section))

    assert place in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("section", [Knobs, TenantQuota, Settings])
def test_every_knob_is_described(section: type[BaseModel]) -> None:
    for name, field in section.model_fields.items():
        assert field.description, name


def test_folders_are_relative_to_the_checkout() -> None:
    settings = Settings.of(profile_with(), SECRETS)

    assert settings.console == PROFILES.parent / "console"
    assert settings.blobs_dir == PROFILES.parent / "var" / "blobs"


@pytest.mark.parametrize(
    ("asked", "given"), [(None, 60_000), (1, 1), (299_999, 299_999), (86_400_000, 300_000)]
)
def test_a_timeout_is_clamped(asked: int | None, given: int) -> None:
    assert Knobs().timeout_ms(asked) == given


@pytest.mark.parametrize(
    ("host", "listen"), [("127.0.0.1", "127.0.0.1:8420"), ("::1", "[::1]:8420")]
)
def test_an_ipv6_host_is_bracketed(host: str, listen: str) -> None:
    assert Knobs(host=host).listen == listen


def test_settings_do_not_show_secrets() -> None:
    assert "a blob key" not in repr(Settings.of(profile_with(), SECRETS))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org"])
def test_without_keys_it_does_not_start_where_others_reach_it(host: str, tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="there are no keys"):
        refuse_open_door(host, tmp_path / "keys.db")

    assert not (tmp_path / "keys.db").exists()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_without_keys_it_starts_on_loopback(host: str, tmp_path: Path) -> None:
    refuse_open_door(host, tmp_path / "keys.db")


def test_with_keys_it_starts_anywhere(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.db")
    store.create("acme", ["search"])
    store.close()

    refuse_open_door("0.0.0.0", tmp_path / "keys.db")


def test_a_check_without_a_profile_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLLOQUY_PROFILE", raising=False)

    with pytest.raises(ProfileError, match="COLLOQUY_PROFILE"):
        check()


def test_a_check_says_what_would_be_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLOQUY_PROFILE", str(PROFILES / "starter.yaml"))

    assert check() == "gateway: starter would be served on 127.0.0.1:8420"
