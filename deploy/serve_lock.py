"""Writes `deploy/serve.lock`, the packages that gateway and services need, and
`deploy/retriever.lock`, those of the retriever beside torch, as `setup/cpu.lock` has them.
`python deploy/serve_lock.py`, in the environment that the lock made.

The images install these and no engine. Nothing is resolved here: what a package asks for is read
from what is installed, so that both environments run the same versions.
"""

import re
import tomllib
from collections.abc import Sequence
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "setup" / "cpu.lock"
TARGETS = {
    ROOT / "deploy" / "serve.lock": ("serve", "indexer"),
    ROOT / "deploy" / "retriever.lock": ("serve", "retriever"),
}
# The image of the retriever takes them first, from an index of CPU builds.
BUILT_FOR_THE_CPU = {"torch", "torchvision"}
HEADER = "# Made by deploy/serve_lock.py from setup/cpu.lock; do not edit.\n"


def main() -> int:
    entries = locked(SOURCE.read_text())
    for target, extras in TARGETS.items():
        target.write_text(HEADER + "".join(entries[name] for name in sorted(needed(extras))))
    return 0


def needed(extras: Sequence[str]) -> set[str]:
    """Names of all packages that `extras` of the project bring."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    asked = [*project["dependencies"], *(text for extra in extras for text in optional[extra])]
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
            chosen = one.extras or {""}
            if next_one.marker is None or any(
                next_one.marker.evaluate({"extra": extra}) for extra in chosen
            ):
                left.append(next_one)
    return found - BUILT_FOR_THE_CPU


def locked(text: str) -> dict[str, str]:
    """Each entry of a lock, with its hashes, by name."""
    entries = re.findall(r"^\S+==[^\\\n]*(?:\\\n[^\\\n]*)*\n", text, re.MULTILINE)
    return {canonical(entry.partition("==")[0]): entry for entry in entries}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    raise SystemExit(main())
