from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from colloquy.profile import Profile, Secrets
from services.generator.settings import Settings, Tuning

ROOT = Path(__file__).parents[3]
SECRETS = Secrets(hop=SecretStr("h"), blob_key=SecretStr("b" * 32))


def profile(name: str = "starter") -> Profile:
    return Profile.load(ROOT / "profiles" / f"{name}.yaml")


def test_is_the_generators_part_of_the_profile() -> None:
    settings = Settings.of(profile(), SECRETS)

    assert settings.listen.startswith("unix:")
    assert settings.tasks.keys() == {"fragment", "split"}
    assert {binding.address for binding in settings.engines.values()} == {
        profile().address_of_engine("starter")
    }


def test_a_misspelt_field_is_refused() -> None:
    wrong = profile().model_copy(update={"generator": {"slices": 3}})

    with pytest.raises(ValidationError, match="slices"):
        Settings.of(wrong, SECRETS)


def test_every_knob_says_what_it_means() -> None:
    assert all(field.description for field in Tuning.model_fields.values())


def test_secrets_stay_out_of_what_is_printed() -> None:
    assert "bbbb" not in repr(Settings.of(profile(), SECRETS))
