"""Serves the indexer: `COLLOQUY_PROFILE=profiles/starter.yaml python -m services.indexer`."""

from collections.abc import Sequence

from fastapi import FastAPI

from colloquy.profile import Profile, Secrets
from colloquy.servicekit.program import run_service
from services.indexer.app import create_app
from services.indexer.settings import Settings, Tuning


def main(argv: Sequence[str] | None = None) -> int:
    return run_service("indexer", __doc__, argv, check=check, build=build)


def build(profile: Profile, secrets: Secrets) -> tuple[FastAPI, str]:
    settings = Settings.of(profile, secrets)
    return create_app(settings), settings.listen


def check(profile: Profile) -> str:
    """What would be served; nothing is started."""
    tuning = Tuning.model_validate(profile.indexer or {})
    where = "its ledger's address" if tuning.ledger else "a file of the stack's state"
    return f"keep its ledger in {where}"


if __name__ == "__main__":
    raise SystemExit(main())
