"""Commands that belong to training: handed on as they are, to a process of their own."""

import os
import sys
from argparse import Namespace
from pathlib import Path

import colloquy
from colloquy.cli.failure import CommandFailed

_CHECKOUT = Path(colloquy.__file__).parent.parent


def evaluate(arguments: Namespace) -> int:
    return _become(f"training.evaluate.{arguments.what}", arguments.rest)


def train(arguments: Namespace) -> int:
    return _become("training.run", arguments.rest)


def check_data(arguments: Namespace) -> int:
    return _become("training.data.check", arguments.rest)


def _become(module: str, rest: list[str]) -> int:
    """Replaces this process; the checkout's folders are importable, and paths stay the caller's."""
    if not (_CHECKOUT / "training").is_dir():
        raise CommandFailed("training and its data are not in the package; run it from a checkout")
    path = os.pathsep.join(filter(None, (str(_CHECKOUT), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": path}
    os.execve(sys.executable, [sys.executable, "-m", module, *rest], environment)  # noqa: S606
