"""The starter checkpoints that the starter profile serves, for tests on real weights."""

from pathlib import Path

from colloquy.profile import Profile

ROOT = Path(__file__).parents[1]
STARTER = ROOT / "starter"
VERSION = Profile.load(ROOT / "profiles" / "starter.yaml").engines["starter"].model.split("@")[1]


def named(task: str) -> str:
    """A task's checkpoint as a profile names it."""
    return f"{task}@{VERSION}"


def folder_of(task: str) -> Path:
    """Where a task's checkpoint lies."""
    return STARTER / task / VERSION


BASE = named("base")
EMBED = named("embed")
FRAGMENT = named("fragment")
RANK = named("rank")
SPLIT = named("split")
