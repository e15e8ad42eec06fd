"""Serves the reranker: `COLLOQUY_PROFILE=profiles/starter.yaml python -m services.reranker`."""

import argparse
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from colloquy.profile import ProfileError, load_from_environment, profile_from_environment
from colloquy.servicekit.serving import CannotServe, serve
from services.reranker.app import create_app
from services.reranker.settings import Settings, Tuning, task_of


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="reranker", description=__doc__)
    parser.add_argument("--check", action="store_true", help="check the profile's section and exit")
    arguments = parser.parse_args(argv)
    try:
        if arguments.check:
            print(check())  # noqa: T201
        else:
            profile, secrets = load_from_environment()
            settings = Settings.of(profile, secrets)
            serve(create_app(settings), settings.listen)
    except (ProfileError, CannotServe) as failure:
        print(f"reranker: {failure}", file=sys.stderr)  # noqa: T201
        return 1
    except ValidationError as failure:
        first = failure.errors()[0]
        place = "/".join(["reranker", *map(str, first["loc"])])
        print(f"reranker: the profile does not hold: {place}: {first['msg']}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def check() -> str:
    """One line on what would be served; nothing is started."""
    profile = profile_from_environment()
    task = task_of(profile)
    Tuning.model_validate(profile.reranker)
    model = task.checkpoint or f"the base of {task.engine}"
    return f"reranker: {profile.name} would rank by {model} on {task.engine}"


if __name__ == "__main__":
    raise SystemExit(main())
