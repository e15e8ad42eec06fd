"""Processes as the kernel shows them: who they are, whose they are, and ending them for certain.

A process id alone names nobody for long, so a process is known by its id and the tick it started
at; a signal is sent through a descriptor that was checked against both.
"""

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LOOK_AGAIN_S = 0.02


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """A process for all time (of one boot)."""

    pid: int
    started: int


@dataclass(frozen=True, slots=True)
class Process:
    identity: Identity
    parent: int
    session: int
    dead: bool

    @property
    def pid(self) -> int:
        return self.identity.pid


def processes() -> dict[int, Process]:
    """Every process there is, by id; ended ones that nobody has waited for are `dead`."""
    found = (_read(entry) for entry in os.listdir(PROC) if entry.isdecimal())
    return {process.pid: process for process in found if process is not None}


def process_of(pid: int) -> Process | None:
    return _read(str(pid))


def is_alive(identity: Identity) -> bool:
    process = process_of(identity.pid)
    return process is not None and process.identity == identity and not process.dead


def title_of(pid: int) -> str:
    """Its command line, as far as it may be read."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def has_mark(pid: int, mark: str) -> bool:
    """Whether its environment at start held the entry `mark` (`NAME=value`)."""
    try:
        return mark.encode() in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def boot_id() -> str:
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def family(everyone: dict[int, Process], leader: int, known: Iterable[Identity]) -> set[Identity]:
    """The living of `leader`'s session, its descendants, and those of `known` with theirs.

    `known` are earlier members: one that left the session and lost its parent is found only so.
    """
    found = {i.pid for i in known if i.pid in everyone and everyone[i.pid].identity == i}
    found |= {p.pid for p in everyone.values() if leader in (p.session, p.pid)}
    children: dict[int, list[int]] = {}
    for process in everyone.values():
        children.setdefault(process.parent, []).append(process.pid)
    waiting = list(found)
    while waiting:
        for pid in children.get(waiting.pop(), ()):
            if pid not in found:
                found.add(pid)
                waiting.append(pid)
    return {everyone[pid].identity for pid in found if not everyone[pid].dead}


def send(identity: Identity, number: signal.Signals) -> None:
    """Signals exactly this process, or nobody."""
    try:
        descriptor = os.pidfd_open(identity.pid)
    except OSError:
        return
    try:
        process = process_of(identity.pid)
        if process is not None and process.identity == identity:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
    finally:
        os.close(descriptor)


def end_all(who: Callable[[], set[Identity]], *, patience_s: float) -> set[Identity]:
    """Asks `who()` to end, then makes them; returns those that are alive even so."""
    for number, wait_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, 5.0)):
        until = time.monotonic() + wait_s
        asked: set[Identity] = set()
        while alive := who():
            for identity in alive - asked:
                send(identity, number)
                asked.add(identity)
            if time.monotonic() > until:
                break
            time.sleep(_LOOK_AGAIN_S)
        else:
            return set()
    return who()


def adopt_orphans() -> None:
    """Makes every descendant that loses its parent a child of this process."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with(parent: int) -> None:
    """Has the kernel end this process when `parent` dies; for between fork and exec."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _read(entry: str) -> Process | None:
    try:
        stat = (PROC / entry / "stat").read_bytes()
    except OSError:
        return None
    # The name in parentheses may hold anything, parentheses too.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return Process(
        identity=Identity(int(entry), int(fields[19])),
        parent=int(fields[1]),
        session=int(fields[3]),
        dead=fields[0] in (b"Z", b"X"),
    )
