"""Who starts, ends and outlives whom; over cheap children, so that every case can be tried."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from colloquy.local.control import Stack, StackFailed
from colloquy.local.processes import Identity, family, process_of, processes, title_of
from colloquy.local.state import StackState
from colloquy.profile import Profile
from tests import starter
from tests.e2e.fake_stack import COMMAND
from tests.e2e.local_stack import ROOT, living, until
from tests.e2e.ports import free_port

WELL: dict[str, list[str]] = {"engine-one": ["vital"], "generator": [], "gateway": []}
Make = Callable[..., Stack]
# The supervisor looks every two seconds, and trusts a process after three.
SEEN_TWICE_S = 8.0


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes a stack of fakes; it is down again afterwards, whatever the test did."""
    made: list[Stack] = []

    def make_stack(port: int | None = None, **fakes: list[str]) -> Stack:
        named = {name.replace("_", "-"): does for name, does in fakes.items()}
        content = {
            "name": "fakes",
            "about": "Nothing.",
            "state": str(tmp_path / "var"),
            "engines": {"one": {"runtime": "vllm", "model": starter.BASE}},
            "tasks": {"fragment": {"engine": "one", "protocol": "f2rvlm"}},
            "gateway": {"port": port or free_port()},
            "generator": {"fakes": WELL | named},
        }
        path = tmp_path / "fakes.yaml"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        made.append(Stack(Profile.load(path), path, supervisor=COMMAND))
        return made[-1]

    yield make_stack
    for stack in made:
        stack.stop()


def bring_up(stack: Stack) -> StackState:
    stack.start()
    *_, ready = stack.follow()
    return ready


def pid_of(stack: Stack, name: str) -> int:
    state = stack.state()
    assert state is not None
    pid = next(child.pid for child in state.children if child.name == name)
    return pid or 0


def identity_of(pid: int) -> Identity:
    process = process_of(pid)
    assert process is not None
    return process.identity


def titled(who: set[Identity], title: str) -> set[Identity]:
    return {one for one in who if title_of(one.pid).startswith(title)}


def everybody(stack: Stack) -> set[Identity]:
    state = stack.state()
    assert state is not None
    return family(processes(), state.supervisor[0], ())


def is_whole_again(stack: Stack, name: str, before: int) -> bool:
    state = stack.state()
    return state is not None and state.state == "ready" and pid_of(stack, name) not in (0, before)


def test_a_killed_child_is_started_again(make: Make) -> None:
    stack = make()
    bring_up(stack)
    before = pid_of(stack, "generator")
    os.kill(before, signal.SIGKILL)
    until(lambda: is_whole_again(stack, "generator", before), within_s=60)


def test_children_lead_sessions_of_their_own(make: Make) -> None:
    stack = make()
    ready = bring_up(stack)
    pids = [child.pid for child in ready.children]
    assert [os.getsid(pid or 0) for pid in pids] == pids


def test_an_engine_that_loses_the_process_that_computes_is_started_again_whole(make: Make) -> None:
    stack = make()
    bring_up(stack)
    before = pid_of(stack, "engine-one")
    first_family = family(processes(), before, ())
    cores = titled(first_family, "VITAL::")
    assert len(cores) == 1
    time.sleep(SEEN_TWICE_S)
    os.kill(cores.pop().pid, signal.SIGKILL)
    until(lambda: is_whole_again(stack, "engine-one", before), within_s=60)
    assert not living(first_family)


def test_a_short_process_that_bears_the_title_is_not_missed(make: Make) -> None:
    stack = make(engine_one=["vital", "passer"])
    before = bring_up(stack)
    time.sleep(SEEN_TWICE_S)
    after = stack.state()
    assert after is not None
    assert [child.restarts for child in after.children] == [0, 0, 0]
    assert after.children[0].pid == before.children[0].pid


def test_what_a_killed_engine_leaves_alive_is_ended(make: Make) -> None:
    stack = make()
    bring_up(stack)
    before = pid_of(stack, "engine-one")
    orphans = family(processes(), before, ()) - {identity_of(before)}
    assert titled(orphans, "VITAL::")
    os.kill(before, signal.SIGKILL)
    until(lambda: is_whole_again(stack, "engine-one", before), within_s=60)
    assert not living(orphans)


def test_a_process_that_left_its_session_and_its_parent_does_not_outlive_the_stack(
    make: Make,
) -> None:
    stack = make(generator=["escapee"])
    supervisor = bring_up(stack).supervisor[0]
    until(lambda: titled(everybody(stack), "ESCAPEE"), within_s=60)
    escapee = titled(everybody(stack), "ESCAPEE").pop()
    until(lambda: processes()[escapee.pid].parent == supervisor, within_s=60)
    stack.stop()
    assert not living({escapee})


def test_down_leaves_no_process_and_no_socket(make: Make) -> None:
    stack = make(generator=["stubborn"])
    bring_up(stack)
    alive = everybody(stack)
    assert len(alive) >= 5
    assert stack.stop()
    assert not living(alive)
    assert not stack.profile.run_dir.exists()
    assert not stack.stop()


def test_a_second_up_finds_the_first(make: Make) -> None:
    stack = make()
    first = bring_up(stack)
    assert not stack.start()
    assert bring_up(stack).supervisor == first.supervisor


def test_ups_at_the_same_time_make_one_stack(make: Make) -> None:
    stack = make()
    with ThreadPoolExecutor() as pool:
        states = list(pool.map(lambda _: bring_up(stack), range(4)))
    assert len({state.supervisor for state in states}) == 1


def test_a_killed_supervisor_takes_its_children_with_it_or_the_next_up_does(make: Make) -> None:
    stack = make(generator=["stubborn", "escapee"])
    first = bring_up(stack)
    until(lambda: titled(everybody(stack), "ESCAPEE"), within_s=60)
    time.sleep(2.5)
    alive = everybody(stack)
    os.kill(first.supervisor[0], signal.SIGKILL)
    until(lambda: not living({Identity(*first.supervisor)}), within_s=30)
    second = bring_up(stack)
    assert second.supervisor != first.supervisor
    assert not living(alive)


def test_a_process_that_got_a_dead_childs_id_is_left_alone(make: Make) -> None:
    stack = make()
    ready = bring_up(stack)
    stack.stop()
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        mine = identity_of(stranger.pid)
        stale = ready.model_copy(update={"processes": [(mine.pid, mine.started - 1)]})
        stack.layout.prepare()
        stale.write(stack.layout.state_file)
        assert not stack.stop()
        assert living({mine})
    finally:
        stranger.kill()
        stranger.wait()


def test_a_child_that_cannot_start_says_why_and_where_its_log_is(make: Make) -> None:
    stack = make(generator=["fails"])
    with pytest.raises(StackFailed) as failure:
        bring_up(stack)
    said = str(failure.value)
    assert said.startswith("generator cannot start: ended with status 1: the moon is in the wrong")
    assert str(stack.layout.log_of("generator")) in said
    assert "\n" not in said
    assert stack.state() is None
    assert stack.last_failure() == said


def test_a_taken_port_says_which_and_by_whom(make: Make) -> None:
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
        try:
            from colloquy.local.ports import holder_of

            until(lambda: holder_of("127.0.0.1", port), within_s=60)
            with pytest.raises(StackFailed, match=f"{port}.*process {other.pid}.*http.server"):
                bring_up(make(port=port))
        finally:
            other.kill()


def test_an_engine_whose_probe_stays_unanswered_is_started_again(make: Make) -> None:
    stack = make(engine_one=["vital", "hurried"], generator=["red:engine:one"])
    stack.start()
    until(lambda: pid_of(stack, "engine-one"), within_s=60)
    before = pid_of(stack, "engine-one")
    until(lambda: pid_of(stack, "engine-one") not in (0, before), within_s=90)


def test_a_tied_stack_ends_with_the_process_that_started_it(make: Make) -> None:
    stack = make()
    path = stack.profile.state_dir.parent / "fakes.yaml"
    code = (
        "from pathlib import Path\n"
        "from colloquy.local.control import Stack\n"
        "from colloquy.profile import Profile\n"
        "from tests.e2e.fake_stack import COMMAND\n"
        f"path = Path({str(path)!r})\n"
        "stack = Stack(Profile.load(path), path, supervisor=COMMAND)\n"
        "stack.start(tied=True)\n"
        "[None for _ in stack.follow()]\n"
        "print('ready', flush=True)\n"
        "import time; time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        alive = everybody(stack)
        owner.kill()
    until(lambda: not living(alive), within_s=60)
    assert not stack.profile.run_dir.exists()
