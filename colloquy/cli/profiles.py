"""Which profile a command is about."""

import os
from argparse import Namespace
from pathlib import Path

import colloquy
from colloquy.cli.failure import CommandFailed
from colloquy.local.control import Stack
from colloquy.profile import PROFILE_VARIABLE, Profile

DEFAULT = "starter"


def stack_of(arguments: Namespace) -> Stack:
    path = find_profile(arguments.profile)
    return Stack(Profile.load(path), path)


def find_profile(given: str | None) -> Path:
    """A path as it is, or the name of a file in `profiles/`, here or in the checkout."""
    wanted = given or os.environ.get(PROFILE_VARIABLE) or DEFAULT
    if wanted.endswith((".yaml", ".yml")) or "/" in wanted:
        return Path(wanted).expanduser()
    checkout = Path(colloquy.__file__).parent.parent
    folders = [Path("profiles"), checkout / "profiles"]
    for folder in folders:
        path = folder / f"{wanted}.yaml"
        if path.is_file():
            return path
    names = sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})
    raise CommandFailed(f"there is no profile `{wanted}`; there are {', '.join(names) or 'none'}")
