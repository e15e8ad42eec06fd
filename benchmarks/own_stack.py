"""A stack of the bench's own: other folders and another port than any that runs already."""

import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from colloquy.local.control import Stack
from colloquy.profile import Profile

READY_WITHIN_S = 1_800.0


@dataclass(frozen=True, slots=True)
class OwnStack:
    """A running stack.

    Attributes:
        ready_s: from starting the supervisor to the gateway's readiness, for each start.
    """

    profile: Profile
    url: str
    control: Stack
    ready_s: list[float]


@contextmanager
def own_stack(path: Path, *, starts: int = 1) -> Iterator[OwnStack]:
    """Starts the profile at `path` in folders of its own, `starts` times, and ends it after.

    Raises:
        ProfileError, StackFailed
    """
    with tempfile.TemporaryDirectory(prefix="colloquy-bench-") as folder:
        copied = copy_profile(path, Path(folder))
        profile = Profile.load(copied)
        control = Stack(profile, copied)
        ready_s = []
        try:
            for number in range(starts):
                if number:
                    control.stop()
                ready_s.append(_start(control))
            url = f"http://127.0.0.1:{profile.gateway['port']}"
            yield OwnStack(profile, url, control, ready_s)
        finally:
            control.stop()


def copy_profile(path: Path, folder: Path) -> Path:
    """The same profile, but for where it keeps things and listens."""
    original = Profile.load(path)
    fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    fields["root"] = str(original.root)
    fields["state"] = str(folder / "var")
    # The registry of the real stack may hold what was published to it.
    fields["registry"] = [str(place) for place in original.registry_dirs]
    fields["gateway"] = dict(fields.get("gateway") or {}) | {
        "host": "127.0.0.1",
        "port": _free_port(),
        # The bench asks as fast as it can, all from one place.
        "tenant": {"requests_per_s": 10_000.0, "burst": 10_000, "max_running": 64},
    }
    copied = folder / "profiles" / path.name
    copied.parent.mkdir()
    copied.write_text(yaml.safe_dump(fields, allow_unicode=True), encoding="utf-8")
    return copied


def _start(control: Stack) -> float:
    begin = time.monotonic()
    control.start(tied=True)
    for _ in control.follow():
        if time.monotonic() - begin > READY_WITHIN_S:
            raise TimeoutError(f"the stack was not ready in {READY_WITHIN_S:.0f} s")
    return time.monotonic() - begin


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
