"""Serves the generator: `COLLOQUY_PROFILE=profiles/starter.yaml python -m services.generator`."""

from collections.abc import Sequence

from fastapi import FastAPI

from colloquy.profile import Profile, Secrets
from colloquy.servicekit.program import run_service
from services.generator.app import create_app
from services.generator.settings import TASKS, Settings, Tuning


def main(argv: Sequence[str] | None = None) -> int:
    return run_service("generator", __doc__, argv, check=check, build=build)


def build(profile: Profile, secrets: Secrets) -> tuple[FastAPI, str]:
    settings = Settings.of(profile, secrets)
    return create_app(settings), settings.listen


def check(profile: Profile) -> str:
    """What would be served; nothing is started."""
    Tuning.model_validate(profile.generator)
    bound = {name: task for name, task in profile.tasks.items() if name in TASKS}
    return "serve " + ", ".join(f"{name} on {task.engine}" for name, task in bound.items())


if __name__ == "__main__":
    raise SystemExit(main())
