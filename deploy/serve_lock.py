"""Writes `deploy/serve.lock`: the packages that gateway and services need, as `setup/cpu.lock` has
them. `python deploy/serve_lock.py`, in the environment that the lock made.

The image installs these and no engine. Nothing is resolved here: what a package asks for is read
from what is installed, so that both environments run the same versions.
"""

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "setup" / "cpu.lock"
TARGET = ROOT / "deploy" / "serve.lock"
HEADER = "# Made by deploy/serve_lock.py from setup/cpu.lock; do not edit.\n"


def main() -> int:
    entries = locked(SOURCE.read_text())
    TARGET.write_text(HEADER + "".join(entries[name] for name in sorted(needed())))
    return 0


def needed() -> set[str]:
    """Names of all packages that the extra `serve` brings."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["serve"]]
    left = [Requirement(text) for text in asked]
    found: set[str] = set()
    seen: set[str] = set()
    while left:
        one = left.pop()
        if str(one) in seen:
            continue
        seen.add(str(one))
        found.add(canonical(one.name))
        for text in requires(one.name) or []:
            next_one = Requirement(text)
            extras = one.extras or {""}
            if next_one.marker is None or any(
                next_one.marker.evaluate({"extra": extra}) for extra in extras
            ):
                left.append(next_one)
    return found


def locked(text: str) -> dict[str, str]:
    """Each entry of a lock, with its hashes, by name."""
    entries = re.findall(r"^\S+==[^\\\n]*(?:\\\n[^\\\n]*)*\n", text, re.MULTILINE)
    return {canonical(entry.partition("==")[0]): entry for entry in entries}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    raise SystemExit(main())
