"""Serves the reranker: `COLLOQUY_PROFILE=profiles/starter.yaml python -m services.reranker`."""

from collections.abc import Sequence

from fastapi import FastAPI

from colloquy.profile import Profile, Secrets
from colloquy.servicekit.program import run_service
from services.reranker.app import create_app
from services.reranker.settings import Settings, Tuning, task_of


def main(argv: Sequence[str] | None = None) -> int:
    return run_service("reranker", __doc__, argv, check=check, build=build)


def build(profile: Profile, secrets: Secrets) -> tuple[FastAPI, str]:
    settings = Settings.of(profile, secrets)
    return create_app(settings), settings.listen


def check(profile: Profile) -> str:
    """What would be served; nothing is started."""
    task = task_of(profile)
    Tuning.model_validate(profile.reranker)
    model = task.checkpoint or f"the base of {task.engine}"
    return f"rank by {model} on {task.engine}"


if __name__ == "__main__":
    raise SystemExit(main())
