"""Writes `setup/cpu.lock`: every package of the CPU environment with the hash of its one file.

`python setup/lock.py`. pip resolves the extras as it would install them on this machine (Linux
x86-64, Python 3.11); names, versions and hashes are kept, and where the files came from is not, so
that the lock holds on any index. Torch is not in it: its CPU build is installed first.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from bootstrap import LOCK, ROOT, TORCH

EXTRAS = ("serve", "retriever", "indexer", "engine-cpu", "training", "dev", "loadtests")
# Audio and video, which vLLM asks for and nothing here uses; their wheels are CUDA builds.
LEFT_OUT = {"torch", "torchaudio", "torchcodec"}
HEADER = f"""\
# Made by `make lock`; do not edit. Linux x86-64, Python 3.11, extras {", ".join(EXTRAS)}.
# Install with: pip install --no-deps --require-hashes -r setup/cpu.lock (after {TORCH}).
"""


def main() -> int:
    try:
        packages = resolve(requirements())
    except subprocess.CalledProcessError:
        print("lock: pip could not resolve the extras; its reason is above", file=sys.stderr)
        return 1
    LOCK.write_text(HEADER + "".join(sorted(entry(p) for p in packages if name(p) not in LEFT_OUT)))
    print(f"{LOCK.relative_to(ROOT)}: {len(packages) - len(LEFT_OUT)} packages")
    return 0


def requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *(one for extra in EXTRAS for one in extras[extra])]
    return sorted({*asked, "setuptools>=77"})


def resolve(asked: list[str]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        constraint = Path(folder, "constraint.txt")
        constraint.write_text(TORCH)
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"),
                *("--quiet", "--report", str(report), "--constraint", str(constraint), *asked),
            ],
            check=True,
        )
        packages: list[dict[str, Any]] = json.loads(report.read_text())["install"]
        return packages


def name(package: dict[str, Any]) -> str:
    return re.sub(r"[-_.]+", "-", package["metadata"]["name"]).lower()


def entry(package: dict[str, Any]) -> str:
    version = package["metadata"]["version"]
    sha256 = package["download_info"]["archive_info"]["hashes"]["sha256"]
    return f"{name(package)}=={version} \\\n    --hash=sha256:{sha256}\n"


if __name__ == "__main__":
    raise SystemExit(main())
