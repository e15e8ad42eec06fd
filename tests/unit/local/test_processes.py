import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from colloquy.local.processes import (
    Identity,
    Process,
    end_all,
    family,
    has_mark,
    is_alive,
    process_of,
    processes,
    send,
)


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(command, env=os.environ | {"MARK": "of this test"}) as process:
        yield process
        process.kill()


def identity_of(pid: int) -> Identity:
    process = process_of(pid)
    assert process is not None
    return process.identity


def made_up(pid: int, parent: int, session: int, *, dead: bool = False) -> Process:
    return Process(Identity(pid, pid * 10), parent, session, dead)


def test_this_process_is_among_all(sleeper: "subprocess.Popen[bytes]") -> None:
    everyone = processes()
    assert everyone[sleeper.pid].parent == os.getpid()
    assert is_alive(identity_of(os.getpid()))


def test_a_signal_reaches_only_the_process_that_started_then(
    sleeper: "subprocess.Popen[bytes]",
) -> None:
    real = identity_of(sleeper.pid)
    send(Identity(real.pid, real.started - 1), signal.SIGKILL)
    time.sleep(0.05)
    assert is_alive(real)
    send(real, signal.SIGKILL)
    assert sleeper.wait(timeout=5) == -signal.SIGKILL


def test_a_dead_process_that_nobody_waited_for_is_not_alive(
    sleeper: "subprocess.Popen[bytes]",
) -> None:
    who = identity_of(sleeper.pid)
    assert end_all(lambda: {who} if is_alive(who) else set(), patience_s=5) == set()
    assert process_of(sleeper.pid) is not None
    assert not is_alive(who)


def test_a_mark_in_the_environment_is_found(sleeper: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 5
    while not has_mark(sleeper.pid, "MARK=of this test") and time.monotonic() < deadline:
        time.sleep(0.01)  # until it has been executed
    assert has_mark(sleeper.pid, "MARK=of this test")
    assert not has_mark(sleeper.pid, "MARK=of this")


def test_a_family_is_the_session_and_all_descendants() -> None:
    everyone = {
        p.pid: p
        for p in (
            made_up(10, 1, 10),
            made_up(11, 10, 10),
            made_up(12, 11, 12),
            made_up(13, 1, 10),
            made_up(14, 1, 14),
        )
    }
    assert {one.pid for one in family(everyone, 10, ())} == {10, 11, 12, 13}


def test_a_family_keeps_members_that_went_their_own_way_and_no_strangers() -> None:
    everyone = {p.pid: p for p in (made_up(20, 1, 20), made_up(21, 20, 21))}
    assert family(everyone, 10, {Identity(20, 200)}) == {Identity(20, 200), Identity(21, 210)}
    assert family(everyone, 10, {Identity(20, 199)}) == set()


def test_the_dead_are_no_family() -> None:
    everyone = {p.pid: p for p in (made_up(10, 1, 10, dead=True), made_up(11, 1, 10))}
    assert {one.pid for one in family(everyone, 10, ())} == {11}
