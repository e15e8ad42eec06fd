"""Serves the indexer: `COLLOQUY_PROFILE=profiles/starter.yaml python -m services.indexer`."""

import argparse
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from colloquy.profile import ProfileError, load_from_environment, profile_from_environment
from colloquy.servicekit.serving import CannotServe, serve
from services.indexer.app import create_app
from services.indexer.settings import Settings, Tuning


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="indexer", description=__doc__)
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
        print(f"indexer: {failure}", file=sys.stderr)  # noqa: T201
        return 1
    except ValidationError as failure:
        first = failure.errors()[0]
        place = "/".join(["indexer", *map(str, first["loc"])])
        print(f"indexer: the profile does not hold: {place}: {first['msg']}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def check() -> str:
    """One line on what would be served; nothing is started."""
    profile = profile_from_environment()
    tuning = Tuning.model_validate(profile.indexer or {})
    where = "its ledger's address" if tuning.ledger else "a file of the stack's state"
    return f"indexer: {profile.name} would keep its ledger in {where}"


if __name__ == "__main__":
    raise SystemExit(main())
