"""A supervisor over cheap children: what is tested is who starts, ends and outlives whom.

`python fake_stack.py --profile FILE` stands where `python -m colloquy.local --profile FILE` does.
What the children do is in the profile: `generator: {fakes: {name: [arguments of fake_child.py]}}`.
"""

import os
import sys
from pathlib import Path

from colloquy.local.__main__ import main
from colloquy.local.plan import STACK_VARIABLE, ChildPlan, Handed
from colloquy.profile import Profile

CHILD = Path(__file__).with_name("fake_child.py")
COMMAND = (sys.executable, str(Path(__file__)), "--profile")


def planner(profile: Profile, path: Path, handed: Handed) -> list[ChildPlan]:
    return [_planned(profile, name, does) for name, does in profile.generator["fakes"].items()]


def _planned(profile: Profile, name: str, does: list[str]) -> ChildPlan:
    engine = name.startswith("engine-")
    port = profile.gateway["port"] if name == "gateway" else None
    socket = profile.run_dir / f"{name}.sock"
    return ChildPlan(
        name=name,
        command=[sys.executable, str(CHILD), str(port or socket), *does],
        environment=os.environ | {STACK_VARIABLE: str(profile.run_dir)},
        address=f"http://127.0.0.1:{port}" if port else f"unix:{socket}",
        health="/healthz",
        kind="engine" if engine else "service",
        vital="VITAL::" if engine else None,
        start_within_s=8.0 if "hurried" in does else 20.0,
        port=("127.0.0.1", port) if port else None,
        stop_within_s=2.0,
    )


if __name__ == "__main__":
    raise SystemExit(main(planner))
