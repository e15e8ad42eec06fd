"""Makes the virtual environment: torch for the CPU, the locked packages, this checkout.

`python3.11 setup/bootstrap.py [--venv .venv]`. It runs before anything is installed, so it uses the
standard library alone. Done twice it does nothing the second time, until the lock changes.
"""

import argparse
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "setup" / "cpu.lock"
TORCH = "torch==2.13.0+cpu"
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
# The environment takes 4.1 GB; the wheels are unpacked beside it first.
NEEDED_DISK_GB = 8
NEEDED_MEMORY_GB = 6
# What changes the environment: another content of any of these makes it again.
# What an environment is made from; the project's own file names its commands and plugins.
SOURCES = (
    LOCK,
    ROOT / "pyproject.toml",
    ROOT / "setup" / "torchvision_cpu.py",
    Path(__file__).resolve(),
)


class SetupFailed(Exception):
    """The environment cannot be made; the message says why and what to do."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    venv = parser.parse_args(argv).venv.absolute()
    try:
        if not is_current(venv):
            make(venv)
    except SetupFailed as failure:
        print(f"setup: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: stopped; run it again to go on", file=sys.stderr)
        return 130
    return 0


def make(venv: Path) -> None:
    check_machine(venv)
    began = time.monotonic()
    log = venv / "setup.log"
    if not (venv / "bin" / "python").exists():
        say(f"making {venv.name} with Python {platform.python_version()}")
        make_venv(venv)
    log.write_text("")
    say("torch for the CPU (190 MB)")
    install_torch(venv, log)
    say(f"{count_of_locked()} locked packages (1 GB to download, 4 GB on disk)")
    install_locked(venv, log)
    # One left by an older checkout would hide the new one from whoever starts in this folder.
    shutil.rmtree(ROOT / "colloquy.egg-info", ignore_errors=True)
    run_pip(venv, log, "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    subprocess.run([venv / "bin" / "python", ROOT / "setup" / "torchvision_cpu.py"], check=True)
    stamp(venv).write_text(fingerprint(venv) + "\n")
    say(f"done in {time.monotonic() - began:.0f} s")


def check_machine(venv: Path) -> None:
    """Refuses what cannot work, before gigabytes are downloaded."""
    if sys.version_info[:2] != (3, 11):
        raise SetupFailed(
            f"this is Python {platform.python_version()}, and 3.11 is needed: "
            "install it and say `make setup PYTHON=/path/to/python3.11`"
        )
    if sys.platform != "linux" or platform.machine() not in {"x86_64", "amd64"}:
        raise SetupFailed(
            f"this is {platform.system()} on {platform.machine()}; "
            "Linux on x86-64 is needed (on Windows, WSL2)"
        )
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            raise SetupFailed(
                f"Python 3.11 has no module `{module}`; on Debian and Ubuntu: "
                "apt-get install python3.11-venv"
            )
    free_gb = shutil.disk_usage(venv.parent).free / 1e9
    if free_gb < NEEDED_DISK_GB and not stamp(venv).exists():
        raise SetupFailed(
            f"{venv.parent} has {free_gb:.1f} GB left, and {NEEDED_DISK_GB} GB are needed"
        )
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    if memory_gb < NEEDED_MEMORY_GB:
        say(f"this machine has {memory_gb:.1f} GB of memory; the stack needs {NEEDED_MEMORY_GB} GB")


def make_venv(venv: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", venv], capture_output=True, text=True, check=False
    )
    if made.returncode:
        shutil.rmtree(venv, ignore_errors=True)
        raise SetupFailed(
            "the virtual environment could not be made (on Debian and Ubuntu it needs "
            f"python3.11-venv):\n{made.stdout}{made.stderr}"
        )


def install_torch(venv: Path, log: Path) -> None:
    """From where pip finds the CPU build, else from PyTorch's public index."""
    try:
        run_pip(venv, log, "--no-deps", TORCH)
    except SetupFailed:
        run_pip(venv, log, "--no-deps", "--index-url", TORCH_INDEX, TORCH)


def install_locked(venv: Path, log: Path) -> None:
    """Wheels and, for what has none, sources that are built with the locked setuptools."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as first:
        first.write("\n".join(e for e in locked() if e.startswith(("setuptools==", "wheel=="))))
        first.flush()
        run_pip(venv, log, "--no-deps", "--require-hashes", "--requirement", first.name)
    run_pip(
        venv,
        log,
        *("--no-deps", "--no-build-isolation", "--require-hashes", "--requirement", str(LOCK)),
        steps=count_of_locked(),
    )


def locked() -> list[str]:
    """The lock's entries, each `name==version --hash=…`."""
    text = LOCK.read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def count_of_locked() -> int:
    return len(locked())


def run_pip(venv: Path, log: Path, *arguments: str, steps: int | None = None) -> None:
    """Runs `pip install`; its output goes to the log, and one line of progress to the person."""
    python = str(venv / "bin" / "python")
    command = [python, "-m", "pip", "install", "--progress-bar=off", *arguments]
    tail: deque[str] = deque(maxlen=15)
    progress = Progress(steps)
    with log.open("a") as record:
        pip = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"},
        )
        assert pip.stdout is not None
        for line in pip.stdout:
            record.write(line)
            tail.append(line)
            progress.see(line)
    progress.end()
    if pip.wait() != 0:
        raise SetupFailed(f"pip failed; the whole story is in {log}\n{''.join(tail)}")


class Progress:
    """One line that is rewritten on a terminal; elsewhere a line now and then."""

    def __init__(self, steps: int | None) -> None:
        self._steps = steps
        self._seen = 0
        self._shown_at = time.monotonic()
        self._rewrites = sys.stdout.isatty()

    def see(self, line: str) -> None:
        found = re.match(r"(?:Collecting|Requirement already satisfied:) ([\w.-]+)", line)
        if found:
            self._seen += 1
            self._show(found[1])
        elif line.startswith("Installing collected packages"):
            self._show("unpacking, this takes a minute or two", always=True)

    def _show(self, what: str, *, always: bool = False) -> None:
        where = f"[{self._seen}/{self._steps}] " if self._steps else ""
        if self._rewrites:
            print(f"\r\033[K  {where}{what}", end="", flush=True)
        elif always or time.monotonic() - self._shown_at > 10:
            self._shown_at = time.monotonic()
            say(f"  {where}{what}")

    def end(self) -> None:
        if self._rewrites:
            print("\r\033[K", end="", flush=True)


def say(text: str) -> None:
    print(f"setup: {text}", flush=True)


def stamp(venv: Path) -> Path:
    return venv / "colloquy-setup"


def fingerprint(venv: Path) -> str:
    """Of what is installed and where, so that a moved checkout is installed again."""
    digest = hashlib.sha256(f"{ROOT}\n{venv}\n".encode())
    for source in SOURCES:
        digest.update(source.read_bytes())
    return digest.hexdigest()


def is_current(venv: Path) -> bool:
    try:
        return stamp(venv).read_text().strip() == fingerprint(venv)
    except OSError:
        return False


if __name__ == "__main__":
    raise SystemExit(main())
