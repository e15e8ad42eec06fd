"""Serves the retriever: `COLLOQUY_PROFILE=profiles/starter.yaml python -m services.retriever`."""

from collections.abc import Sequence

from fastapi import FastAPI

from colloquy.profile import Profile, ProfileError, Secrets
from colloquy.servicekit.program import run_service
from services.retriever.app import create_app
from services.retriever.settings import Settings, tuning_of


def main(argv: Sequence[str] | None = None) -> int:
    return run_service("retriever", __doc__, argv, check=check, build=build)


def build(profile: Profile, secrets: Secrets) -> tuple[FastAPI, str]:
    settings = Settings.of(profile, secrets)
    return create_app(settings), settings.listen


def check(profile: Profile) -> str:
    """What would be served; nothing is started."""
    if profile.retriever is None:
        raise ProfileError(f"profile {profile.name} runs no retriever: it has no `retriever:`")
    tuning = tuning_of(profile)
    spaces = ", ".join(f"{name} ({space.kind})" for name, space in profile.spaces.items())
    return f"serve {spaces} from {tuning.store.kind}"


if __name__ == "__main__":
    raise SystemExit(main())
