"""A supervisor over cheap children, as a process of its own: what is tested is who starts, ends
and outlives whom. `python fake_stack.py PROFILE` stands where `python -m colloquy.local` does."""

import asyncio
import fcntl
import os
import sys
from pathlib import Path

from colloquy.local.layout import Layout
from colloquy.local.plan import ChildPlan, Handed
from colloquy.local.supervisor import Supervisor
from colloquy.profile import Profile

CHILD = Path(__file__).with_name("fake_child.py")


def planner(profile: Profile, path: Path, handed: Handed) -> list[ChildPlan]:
    """What each child does is in the profile: `generator: {fakes: {name: [arguments]}}`."""
    children = []
    for name, arguments in profile.generator["fakes"].items():
        engine = name.startswith("engine-")
        port = profile.gateway["port"] if name == "gateway" else None
        socket = profile.run_dir / f"{name}.sock"
        children.append(
            ChildPlan(
                name=name,
                command=[sys.executable, str(CHILD), str(port or socket), *arguments],
                environment=os.environ | {"COLLOQUY_STACK": str(profile.run_dir)},
                address=f"http://127.0.0.1:{port}" if port else f"unix:{socket}",
                health="/healthz",
                kind="engine" if engine else "service",
                vital="VITAL::" if engine else None,
                port=("127.0.0.1", port) if port else None,
                stop_within_s=2.0,
            )
        )
    return children


def main() -> int:
    path = Path(sys.argv[1])
    profile = Profile.load(path)
    lock_file = Layout(profile).lock_file
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return asyncio.run(Supervisor(profile, path, planner).run())


if __name__ == "__main__":
    raise SystemExit(main())
