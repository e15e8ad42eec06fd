"""What `python -m services.<name>` does: serve, or check the service's section of the profile."""

import argparse
import sys
from collections.abc import Callable, Sequence

from fastapi import FastAPI
from pydantic import ValidationError

from colloquy.profile import (
    Profile,
    ProfileError,
    Secrets,
    load_from_environment,
    profile_from_environment,
)
from colloquy.servicekit.serving import CannotServe, serve


def run_service(
    name: str,
    about: str | None,
    argv: Sequence[str] | None,
    *,
    check: Callable[[Profile], str],
    build: Callable[[Profile, Secrets], tuple[FastAPI, str]],
) -> int:
    """Serves until a signal; returns the exit status, 1 after one line that says what is wrong.

    Args:
        about: of `--help`.
        check: what would be served, in a few words; raises what a wrong section raises.
        build: the service and where it listens.
    """
    parser = argparse.ArgumentParser(prog=name, description=about)
    parser.add_argument("--check", action="store_true", help="check the profile's section and exit")
    arguments = parser.parse_args(argv)
    try:
        if arguments.check:
            profile = profile_from_environment()
            print(f"{name}: {profile.name} would {check(profile)}")  # noqa: T201
        else:
            serve(*build(*load_from_environment()))
    except (ProfileError, CannotServe) as failure:
        print(f"{name}: {failure}", file=sys.stderr)  # noqa: T201
        return 1
    except ValidationError as failure:
        first = failure.errors()[0]
        place = "/".join([name, *map(str, first["loc"])])
        print(f"{name}: the profile does not hold: {place}: {first['msg']}", file=sys.stderr)  # noqa: T201
        return 1
    return 0
