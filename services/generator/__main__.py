"""Serves the generator: `COLLOQUY_PROFILE=profiles/starter.yaml python -m services.generator`."""

import sys

from pydantic import ValidationError

from colloquy.profile import ProfileError, load_from_environment
from colloquy.servicekit.serving import CannotServe, serve
from services.generator.app import create_app
from services.generator.settings import Settings


def main() -> int:
    try:
        profile, secrets = load_from_environment()
        settings = Settings.of(profile, secrets)
        serve(create_app(settings), settings.listen)
    except (ProfileError, CannotServe) as failure:
        print(f"generator: {failure}", file=sys.stderr)  # noqa: T201
        return 1
    except ValidationError as failure:
        first = failure.errors()[0]
        place = "/".join(["generator", *map(str, first["loc"])])
        print(f"generator: the profile does not hold: {place}: {first['msg']}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
