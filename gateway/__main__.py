"""python -m gateway: serves the public door of the stack that COLLOQUY_PROFILE names."""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from pydantic import SecretStr

from colloquy.profile import (
    ProfileError,
    is_loopback,
    load_from_environment,
    profile_from_environment,
)
from colloquy.servicekit.keys import KeyStore
from colloquy.servicekit.serving import CannotServe, serve
from gateway.app import create_app
from gateway.settings import Settings, knobs_of


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="gateway", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="check the profile's section and exit")
    what.add_argument("--openapi", action="store_true", help="print the API's description")
    args = parser.parse_args(argv)
    try:
        if args.openapi:
            print(description())  # noqa: T201
        elif args.check:
            print(check())  # noqa: T201
        else:
            run()
    except (ProfileError, CannotServe) as failure:
        print(f"gateway: {failure}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def run() -> None:
    """Serves until a signal.

    Raises:
        ProfileError: the settings do not hold. CannotServe: the address cannot be used.
    """
    settings = Settings.of(*load_from_environment())
    refuse_open_door(settings.host, settings.keys_file)
    serve(create_app(settings), settings.listen)


def check() -> str:
    """One line on what would be served; nothing is started or written.

    Raises:
        ProfileError: the section does not hold.
    """
    profile = profile_from_environment()
    knobs = knobs_of(profile)
    refuse_open_door(knobs.host, profile.keys_file)
    return f"gateway: {profile.name} would be served on {knobs.listen}"


def refuse_open_door(host: str, keys_file: Path) -> None:
    """Without keys only this machine may reach the gateway.

    Raises:
        ProfileError: others could.
    """
    if is_loopback(host) or _has_keys(keys_file):
        return
    raise ProfileError(
        f"gateway/host is {host}, which others reach, and there are no keys: make one with "
        "`colloquy keys create`, or listen on 127.0.0.1"
    )


def description() -> str:
    """The API's description as JSON; it needs no profile, since it is the same for all."""
    here = Path()
    settings = Settings(
        generator="unix:generator.sock",
        blobs_dir=here,
        keys_file=here,
        hop_secret=SecretStr(""),
        blob_key=SecretStr(""),
    )
    return json.dumps(create_app(settings).openapi(), indent=2, ensure_ascii=False)


def _has_keys(keys_file: Path) -> bool:
    if not keys_file.exists():
        return False
    with closing(KeyStore(keys_file)) as keys:
        return bool(keys.list())


if __name__ == "__main__":
    raise SystemExit(main())
