"""The services' own sections of the profile, checked by the services themselves."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import colloquy
from colloquy.local.checks.finding import Finding, failed, ok
from colloquy.local.plan import services_of
from colloquy.profile import (
    PROFILE_VARIABLE,
    OpenAIEngine,
    Profile,
)

_CHECK_WITHIN_S = 60


def check_sections(profile: Profile, path: Path) -> Iterator[Finding]:
    """Each service reads its section in a process of its own: the vocabulary knows no service."""
    modules = {name: f"services.{name}" for name in services_of(profile)} | {"gateway": "gateway"}
    for name, module in modules.items():
        try:
            done = _check(module, path)
        except subprocess.TimeoutExpired:
            yield failed(name, f"did not finish its check within {_CHECK_WITHIN_S} s")
            continue
        said = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
        detail = said[-1].removeprefix(f"{name}: ") if said else "said nothing"
        yield (ok if done.returncode == 0 else failed)(name, detail)


def _check(module: str, path: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", module, "--check"],
        capture_output=True,
        text=True,
        timeout=_CHECK_WITHIN_S,
        env=os.environ | {PROFILE_VARIABLE: str(path.resolve())},
        cwd=Path(colloquy.__file__).parent.parent,
        check=False,
    )


def check_secrets(profile: Profile) -> Iterator[Finding]:
    for name, engine in profile.engines.items():
        if not isinstance(engine, OpenAIEngine) or engine.api_key_secret is None:
            continue
        about = f"key of {name}"
        if os.environ.get(engine.api_key_secret):
            yield ok(about, f"in {engine.api_key_secret}")
        else:
            yield failed(about, f"the environment has no {engine.api_key_secret}")
