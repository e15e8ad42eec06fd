from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from colloquy.profile import Profile, ProfileError, Secrets
from services.indexer.settings import Settings, Tuning

ROOT = Path(__file__).parents[3]
SECRETS = Secrets(hop=SecretStr("h"), blob_key=SecretStr("b" * 32))
PROFILE = {
    "name": "test",
    "about": "for a test",
    "root": "/checkout",
    "engines": {"e": {"runtime": "openai", "url": "http://127.0.0.1:9", "model": "m"}},
    "tasks": {"split": {"engine": "e", "protocol": "f2rvlm", "tolerant": True}},
    "spaces": {"clip": {"kind": "open_clip", "model": "clip@1"}},
    "retriever": {},
}
ENVIRONMENT = {"COLLOQUY_HOP_SECRET": "h" * 16, "COLLOQUY_BLOB_KEY": "b" * 16}


def profile(**indexer: object) -> Profile:
    return Profile.model_validate(PROFILE | {"indexer": indexer})


def test_is_the_indexers_part_of_the_profile() -> None:
    settings = Settings.of(profile(short_turns=5), SECRETS)

    assert settings.listen.startswith("unix:")
    assert settings.ledger == "sqlite:////checkout/var/ledger.sqlite"
    assert settings.spaces == ["clip"]
    assert settings.retriever.endswith("/retriever.sock")
    assert settings.tuning.short_turns == 5


def test_a_misspelt_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="shorts"):
        Settings.of(profile(shorts=3), SECRETS)


def test_every_knob_says_what_it_means() -> None:
    assert all(field.description for field in Tuning.model_fields.values())


def test_the_ledgers_password_comes_from_the_environment() -> None:
    named = profile(ledger="postgresql://u@h/d", ledger_password_secret="LEDGER_PASSWORD")

    secrets = Secrets.from_environment(named, ENVIRONMENT | {"LEDGER_PASSWORD": "sesame-42"})
    settings = Settings.of(named, secrets)

    assert settings.ledger == "postgresql://u@h/d"
    assert settings.ledger_password is not None
    assert settings.ledger_password.get_secret_value() == "sesame-42"
    assert "sesame-42" not in repr(settings)
    with pytest.raises(ProfileError, match="LEDGER_PASSWORD"):
        Settings.of(named, Secrets.from_environment(named, ENVIRONMENT))
