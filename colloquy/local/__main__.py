"""The supervisor's process: `python -m colloquy.local --profile FILE`."""

import argparse
import asyncio
import fcntl
import os
import sys
import time
from pathlib import Path
from typing import IO

from colloquy.local.control import ALREADY_UP
from colloquy.local.layout import Layout, NotPrivate
from colloquy.local.plan import plan
from colloquy.local.processes import die_with
from colloquy.local.state import read_state
from colloquy.local.supervisor import Planner, Supervisor
from colloquy.profile import Profile, ProfileError
from colloquy.servicekit.logs import configure_logging

_TAKE_WITHIN_S = 15.0
_LOOK_AGAIN_S = 0.1


def main(planner: Planner = plan) -> int:
    parser = argparse.ArgumentParser(prog="colloquy.local", description=__doc__)
    parser.add_argument("--profile", type=Path, required=True)
    parser.add_argument("--die-with", type=int, metavar="PID", help="stop when this parent dies")
    arguments = parser.parse_args()
    if arguments.die_with is not None:
        die_with(arguments.die_with)
    configure_logging("supervisor")
    path: Path = arguments.profile.resolve()
    try:
        profile = Profile.load(path)
        layout = Layout(profile)
        layout.lock_file.parent.mkdir(parents=True, exist_ok=True)
        with layout.lock_file.open("a") as lock:
            if not _take(lock, layout):
                return ALREADY_UP
            return asyncio.run(Supervisor(profile, path, planner).run())
    except (ProfileError, NotPrivate, OSError) as failure:
        sys.stderr.write(f"supervisor {os.getpid()}: {failure}\n")
        return 1


def _take(lock: IO[str], layout: Layout) -> bool:
    """Whether the stack is ours to run. A `down` holds the lock for a moment, a supervisor long."""
    until = time.monotonic() + _TAKE_WITHIN_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            state = read_state(layout.state_file)
            if (state and state.supervisor_is_alive) or time.monotonic() > until:
                return False
        time.sleep(_LOOK_AGAIN_S)


if __name__ == "__main__":
    raise SystemExit(main())
